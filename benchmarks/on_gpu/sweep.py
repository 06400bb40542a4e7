"""The stage that times tiles: each matrix product of the nets with all its candidates that are compiled by then."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from cortado.compiler.slots import SlotsAndWeights
from cortado.compiler.targets.cuda.aot import MachineCode
from cortado.compiler.targets.cuda.hardware import NEWEST_ARCHITECTURE
from cortado.compiler.targets.cuda.lowering import CompiledKernels
from cortado.compiler.targets.cuda.matmul_model import predict
from cortado.runtime.cuda.device import Buffer

from .candidates import END, UNCOMPILED, Candidate, TileProblem, candidates_for, find_problems
from .journal import Row, read_rows
from .kernels import ERROR_LIMITS
from .machine import summarize_times
from .nets import BenchmarkCase, relative_error
from .session import StageRun
from .step_times import fill_with_numbers, time_launch
from .steps import GpuStepRunner, equal_bits
from .variants import KEPT, make_variant

ROUNDS = 6
MIN_GAIN = 0.97  # a tile is written to the table if it takes less of the time of the one that the compiler chooses


def sweep(run: StageRun) -> None:
    """Time the candidates, the problems that take the most time of the nets first."""
    spent = time_by_problem(run.session.out)
    found: dict[str, tuple[BenchmarkCase, TileProblem]] = {}
    for case in run.cases():
        _, final = run.graphs(case)
        for problem in find_problems(final)[0]:
            found.setdefault(problem.name, (case, problem))
    order = sorted(found.values(), key=lambda one: -spent.get((one[0].name, one[1].number), 0.0))
    runners: dict[str, tuple[GpuStepRunner, SlotsAndWeights] | None] = {}
    is_last = False
    while order and not is_last:
        is_last = END in uncompiled(run.work)
        waiting = []
        for case, problem in order:
            if case.name not in runners:
                runners[case.name] = begin_case(run, case)
            if (loaded := runners[case.name]) is not None and sweep_problem(run, case, problem, *loaded):
                waiting.append((case, problem))
        order = waiting
        run.require_time()
        time.sleep(0.2)  # some of their candidates are not compiled yet


def uncompiled(work: Path) -> set[str]:
    """The kernels that cannot be compiled; with END among them once all are tried."""
    path = work / UNCOMPILED
    return set(path.read_text("utf-8").splitlines()) if path.exists() else set()


def time_by_problem(out: Path) -> dict[tuple[str, int], float]:
    """The microseconds of each step of each case, as the stage before measured them."""
    return {(row["case"], row["step"]): row["median_us"] for row in read_rows(out / "steps.jsonl") if "step" in row}


def begin_case(run: StageRun, case: BenchmarkCase) -> tuple[GpuStepRunner, SlotsAndWeights] | None:
    """An instance of a net with numbers in its memory, and the places of its values; None if it cannot be loaded."""
    run.require_time()
    runners = run.load_steps(case)
    if len(runners) != 1:
        return None
    (runner,) = runners
    assert isinstance(runner, GpuStepRunner)
    fill_with_numbers(runner)
    return runner, find_problems(run.graphs(case)[1])[1]


def sweep_problem(
    run: StageRun, case: BenchmarkCase, problem: TileProblem, runner: GpuStepRunner, places: SlotsAndWeights
) -> bool:
    """Time the candidates of a problem that are new. True if some are still being compiled.

    The tile that the compiler chooses comes first; a candidate whose results differ from its results is wrong.
    """
    candidates = candidates_for(problem, places, run.session.candidates)
    known = {c.name: c.code() for c in candidates if not run.journal.is_faulty(c.name)}
    failed = uncompiled(run.work)
    waits = any(known.get(c.name, ...) is None and c.kernel.name not in failed for c in candidates)
    ready = [(c, code) for c in candidates if (code := known.get(c.name)) is not None]
    if not any(run.journal.wants(c.name) for c, _ in ready) or not ready[0][0].is_chosen:
        return waits
    expected: list[Tensor] = []
    uploaded: dict[str, Buffer] = {}
    packed = CompiledKernels()
    KEPT.clear()
    for candidate, code in ready:
        run.require_time()
        if not candidate.is_chosen and not run.journal.wants(candidate.name):
            continue
        with run.journal.item(candidate.name, run.machine.seconds_of_kernel):
            launch = make_variant(problem.node, candidate.lowered, code, packed).prepare(runner, uploaded)
            runner.synchronize()
            launch(runner.stream)
            runner.synchronize()
            results = [runner.read(v.name) for v in problem.node.results]
            expected = expected or results
            worst = max(relative_error(a, b) for a, b in zip(results, expected, strict=True))
            right = equal_bits(results, expected) or worst <= 2 * ERROR_LIMITS[case.dtype]["kernel"]
            times = time_launch(run, runner, launch, ROUNDS)
            row = describe(case, candidate, code)
            run.journal.row("sweep", candidate.name, **row, right=right, **summarize_times(times))
    return waits


def describe(case: BenchmarkCase, candidate: Candidate, code: MachineCode) -> Row:
    problem = candidate.problem.problem
    return {
        "name": candidate.problem.name,
        "template": problem.template,
        "dtype": problem.dtype,
        "problem": problem.to_dict(),
        "tile": asdict(candidate.tile),
        "case": case.name,
        "chosen": candidate.is_chosen,
        "model_us": round(predict(problem, candidate.tile), 2),
        **{name: getattr(code, name) for name in ("registers", "spilled", "shared", "stages")},
    }


def winners(rows: Iterable[Row]) -> list[Row]:
    """The fastest right candidate of each problem that gains on the tile that the compiler chooses."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("right") and "tile" in row:
            by.setdefault(row["name"], []).append(row)
    found = []
    for problem in by.values():
        best, chosen = min(problem, key=lambda row: row["median_us"]), [row for row in problem if row["chosen"]]
        if chosen and best["median_us"] < MIN_GAIN * chosen[0]["median_us"]:
            found.append({**best, "chosen_us": chosen[0]["median_us"]})
    return found


def tuning_rows(rows: Iterable[Row], gpu: str) -> list[dict[str, Any]]:
    """The rows of a table of tiles, as compiler/targets/cuda/tiles.py reads it."""
    return [
        {
            "template": row["template"],
            "dtype": row["dtype"],
            "problem": row["problem"],
            "tile": row["tile"],
            "seconds": round(row["median_us"] * 1e-6, 9),
            "chosen_seconds": round(row["chosen_us"] * 1e-6, 9),
            "gpu": gpu,
        }
        for row in winners(rows)
    ]


def write_tuning(rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = "Tiles that were measured on this architecture, read by compiler/targets/cuda/tiles.py."
    text = json.dumps({"about": about, "rows": rows}, indent=1) + "\n"
    (folder / f"{NEWEST_ARCHITECTURE}.json").write_text(text, "utf-8")
