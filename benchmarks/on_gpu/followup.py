"""Stages of a second call: where a wrong net goes wrong, and the hardware's counters for the slowest kernels."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from cortado.compiler.ir import Constant

from .journal import Row, read_rows, run_limited
from .kernels import StepCase, dtype_of, judge_error, step_cases
from .nets import random_inputs, relative_error
from .session import StageRun
from .steps import StepRunner

PROFILED = 5
PROFILE_SECONDS = 40.0
SECTIONS = ("SpeedOfLight", "LaunchStats", "Occupancy", "WarpStateStats", "MemoryWorkloadAnalysis")


def trace(run: StageRun) -> None:
    """Each net step by step on a picture, each step compared with its reference on what the steps before computed.

    So the first wrong row is the step that goes wrong in its place.
    """
    for case in run.cases():
        plain, final = run.graphs(case)
        if len(runners := run.load_steps(case)) != 1:
            continue
        (runner,) = runners
        runner.poison()
        for name, picture in random_inputs(plain, 1).items():
            runner.write(name, picture.to(run.machine.device).to(runner.read(name).dtype))
        runner.synchronize()
        for one in step_cases(case, final.graph, runner):
            run.require_time()
            key = f"trace {one.key}"
            with run.journal.item(key, 12 * run.machine.seconds_of_kernel):
                row = compare_in_place(runner, one, run.machine.device)
                if not row["right"]:
                    run.journal.row("results", key, case=case.name, kernel=one.label, step=one.number, **row)


def compare_in_place(runner: StepRunner, one: StepCase, device: str) -> Row:
    operands = [v.data.to(device) if isinstance(v, Constant) else runner.read(v.name) for v in one.node.inputs]
    runner.synchronize()
    for _, work in one.steps:
        work()
    runner.synchronize()
    made = one.node.op.compute([x.double() for x in operands])
    pairs = zip(one.node.results, made, strict=True)
    worst = max(relative_error(runner.read(v.name), m.to(dtype_of(v))) for v, m in pairs)
    return judge_error(worst, one.node.results[0].type.dtype, "kernel")


def profile(run: StageRun) -> None:
    """Hardware counters of the kernels that take the most time, by ncu, each in a process of its own."""
    tool = shutil.which("ncu")
    for row in slowest_steps(run):
        key = f"counters of {row['key']}"
        if tool is None or not run.journal.wants(key):
            continue
        run.require_time(15)
        sections = [word for section in SECTIONS for word in ("--section", section)]
        kernel = ["-k", f"regex:{row['function']}", "-c", "1", "--clock-control", "none"]
        command = [tool, *sections, *kernel, sys.executable, *run.session.command_for("steps", row["key"])]
        said = run_limited(command, min(PROFILE_SECONDS, run.time_left()))
        run.journal.row("results", key, said=said[-8000:])
    if tool is None:
        run.journal.log("ncu is not there")


def slowest_steps(run: StageRun) -> Sequence[Row]:
    """The steps of the first call that took the most time, each kernel once."""
    rows = read_rows(run.work / "call-1" / "steps.jsonl") or read_rows(run.session.out / "steps.jsonl")
    by_kernel: dict[str, Row] = {}
    for row in sorted((r for r in rows if "median_us" in r), key=lambda r: -r["median_us"]):
        by_kernel.setdefault(row["kernel"], row)
    return list(by_kernel.values())[:PROFILED]
