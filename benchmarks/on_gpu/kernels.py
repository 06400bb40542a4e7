"""Stages that compare: every kernel alone, and whole nets, with float64 references computed on the machine."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Graph, Node, Value
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.slots import slots_and_weights
from cortado.compiler.types import DTYPES
from cortado.runtime.arena import view
from cortado.runtime.cuda.launch import Launch
from cortado.runtime.net import Net
from cortado.runtime.plan import Step

from .journal import REFERENCE, Row
from .nets import BenchmarkCase, random_inputs, relative_error, to_device
from .session import StageRun
from .steps import GpuStepRunner, StepRunner, Work, equal_bits
from .variants import plain_variant

ERROR_LIMITS: Mapping[str, Mapping[str, float]] = {
    "f32": {"kernel": 1e-5, "net": 1e-4},
    "f16": {"kernel": 2e-3, "net": 2e-2},
    "tf32": {"net": 2e-2},
}
"""The tolerated relative L2 error against float64, of a single kernel and of a whole net."""
REFERENCE_SECONDS = 60.0


@dataclass(frozen=True)
class StepCase:
    """A node, its steps (only the last computes its results), and the name of the item."""

    key: str
    case: BenchmarkCase
    number: int
    node: Node
    steps: list[tuple[Step, Work]]

    @property
    def label(self) -> str:
        return self.steps[-1][0].label


def check_kernels(run: StageRun) -> None:
    """Every kernel alone on random operands, twice in poisoned memory; a wrong one also in its form without TMA."""
    seen = set[str]()
    torch.randn(8, device=run.machine.device).sum().item()  # what torch loads at first counts for no kernel
    for case in run.cases():
        _, final = run.graphs(case)
        for runner in run.load_steps(case):
            for one in step_cases(case, final.graph, runner):
                content = f"{one.label} {[str(v.type) for v in (*one.node.inputs, *one.node.results)]}"
                if content not in seen:
                    seen.add(content)
                    run.require_time()
                    check_kernel(run, runner, one)


def check_kernel(run: StageRun, runner: StepRunner, one: StepCase) -> None:
    if run.journal.wants(one.key):
        check_and_report(run, runner, one, "")
    variant = f"{one.key} without TMA"
    if run.journal.is_faulty(one.key) and isinstance(runner, GpuStepRunner) and run.journal.wants(variant):
        check_without_tma(run, runner, one)


def step_cases(case: BenchmarkCase, final: Graph, runner: StepRunner) -> Iterator[StepCase]:
    """The nodes of a net whose results are there to compare, each with its steps."""
    makers, waiting = final.producer, list[tuple[Step, Work]]()
    places = {v.name: number for number, node in enumerate(final.nodes) for v in node.results}
    for step, work in runner.steps():
        waiting.append((step, work))
        node = makers.get(final.values[step.results[0]]) if step.results[0] in final.values else None
        if node is None:
            continue
        place = places[step.results[0]]
        yield StepCase(f"{case.name}/{place:03} {step.label}", case, place, node, waiting)
        waiting = []


def check_and_report(run: StageRun, runner: StepRunner, one: StepCase, variant: str) -> None:
    """Compare one kernel, and add its row; a wrong one counts as faulty."""
    key = f"{one.key} {variant}".strip()
    found: list[list[Tensor]] = []
    with run.journal.item(key, run.machine.seconds_of_kernel):
        operands = draw_operands(one, run.machine.device)
        stray = max(run_poisoned(runner, one, operands, found) for _ in range(2))
    if len(found) < 2 or run.session.only:
        return
    with run.journal.item(f"{key}{REFERENCE}", REFERENCE_SECONDS):
        given = [v.data.to(run.machine.device) if isinstance(v, Constant) else operands[v] for v in one.node.inputs]
        made = one.node.op.compute([x.double() for x in given])
        errors = [relative_error(f, m.to(f.dtype)) for f, m in zip(found[0], made, strict=True)]
        row = judge_error(max(errors), one.node.results[0].type.dtype, "kernel")
        row |= {"same_twice": equal_bits(*found), "stray_bytes": stray}
        row["right"] = row["right"] and row["same_twice"] and not stray
        if not row["right"]:
            keep_failing(run, one, row)
            run.journal.add_key("faulty", one.key)
        run.journal.row("results", key, case=one.case.name, kernel=one.label, step=one.number, variant=variant, **row)


def draw_operands(one: StepCase, device: str) -> dict[Value, Tensor]:
    random = torch.Generator(device).manual_seed(one.number)
    computed = [v for v in dict.fromkeys(one.node.inputs) if not isinstance(v, Constant)]
    return {v: torch.randn(v.type.shape, generator=random, device=device).to(dtype_of(v)) for v in computed}


def run_poisoned(runner: StepRunner, one: StepCase, operands: Mapping[Value, Tensor], found: list[list[Tensor]]) -> int:
    """Run a node's steps with all other memory poisoned, and add its results. Returns how many other bytes changed."""
    runner.synchronize()
    runner.poison()
    for value, data in operands.items():
        runner.write(value.name, data)
    before = runner.arena().clone()
    runner.synchronize()
    for _, work in one.steps:
        work()
    runner.synchronize()
    found.append([runner.read(v.name) for v in one.node.results])
    after = runner.arena().clone()
    for memory in (before, after):
        for step, _ in one.steps:
            for name in step.results:
                view(memory, runner.plan.slots[name]).zero_()
    return int((before != after).sum())


def dtype_of(value: Value) -> torch.dtype:
    return DTYPES[value.type.dtype]


def judge_error(worst: float, dtype: str, what: str) -> Row:
    limit = ERROR_LIMITS[dtype][what]
    return {"error": float(f"{worst:.3g}"), "limit": limit, "right": worst <= limit}


def check_without_tma(run: StageRun, runner: GpuStepRunner, one: StepCase) -> None:
    """The same node by the kernel that older GPUs run, which needs no TMA, to tell whose fault it is."""
    _, final = run.graphs(one.case)
    slots, weights = slots_and_weights(final)
    found: list[Launch] = []
    with run.journal.item(f"{one.key} compiles without TMA", REFERENCE_SECONDS):
        if (variant := plain_variant(one.node, {**slots, **weights})) is not None:
            found.append(variant.prepare(runner))
    for launch in found:
        plain = StepCase(one.key, one.case, one.number, one.node, [(one.steps[-1][0], runner.make_call(launch))])
        check_and_report(run, runner, plain, "without TMA")


def keep_failing(run: StageRun, one: StepCase, row: Row) -> None:
    """Write the source, machine code and launch of the first wrong kernel to the one file `failing.json`."""
    path = run.session.out / "failing.json"
    if path.exists():
        return
    artifact, step = run.artifact(one.case), one.steps[-1][0]
    name = str(step.payload.get("kernel", ""))
    codes = {n: base64.b64encode(bytes(c.numpy())).decode() for n, c in artifact.binaries.items() if n.startswith(name)}
    values = {
        n: [s.dtype, *map(str, s.dims), s.layout]
        for n, s in artifact.plan.slots.items()
        if n in (*step.operands, *step.results)
    }
    content = {"key": one.key, "row": row, "source": artifact.kernels.get(name, ""), "launch": step.payload}
    path.write_text(json.dumps({**content, "values": values, "machine_code": codes if name else {}}), "utf-8")


def check_nets(run: StageRun) -> None:
    """Whole nets on two inputs, with all memory poisoned in between; each twice, which has to give equal bits."""
    for case in run.cases():
        plain, _ = run.graphs(case)
        net: Net | None = None
        for seed in (1, 2):
            key = f"{case.name} seed {seed}"
            run.require_time()
            if not run.journal.wants(key):
                continue
            on_host = random_inputs(plain, seed)
            there = {n: x.to(run.machine.device) for n, x in on_host.items()}
            given = there if seed == 1 else on_host  # the two ways in which a net takes arrays
            found: list[dict[str, Tensor]] = []
            with run.journal.item(key, 4 * run.machine.seconds_of_kernel):
                net = net or Net.from_artifact(run.artifact(case))
                for _ in range(2):
                    run.machine.synchronize()
                    poison(net)
                    found.append({n: t.clone() for n, t in net(given).items()})
            if len(found) < 2:
                continue
            with run.journal.item(f"{key}{REFERENCE}", REFERENCE_SECONDS):
                expected = reference(run, case, plain, there, seed)
                worst = max(relative_error(found[0][name], expected[name]) for name, _ in plain.returns)
                row = judge_error(worst, case.dtype, "net")
                row["same_twice"] = equal_bits(*(list(one.values()) for one in found))
                row["right"] = row["right"] and row["same_twice"]
                run.journal.row("results", key, case=case.name, seed=seed, **row)


def reference(
    run: StageRun, case: BenchmarkCase, plain: Graph, given: Mapping[str, Tensor], seed: int
) -> dict[str, Any]:
    """The returned blobs in float64, on the host, from a file if an earlier case of the same net and batch wrote it."""
    name = hashlib.sha256(f"{case.net} {case.batch} {seed}".encode()).hexdigest()[:12]
    path = run.work / f"reference-{name}.pt"
    if path.exists():
        return dict(torch.load(path))
    blobs = evaluate_blobs(to_device(plain, run.machine.device), given, torch.float64)
    made = {blob: blobs[blob].cpu() for blob, _ in plain.returns}
    torch.save(made, path)
    return made


def poison(net: Net) -> None:
    """Fill the memory of values that the next call uses with NaN."""
    for program in net.programs.values():
        for instance in getattr(program, "pool", ()):
            if hasattr(instance, "poison"):
                instance.poison()
            else:
                instance.arena.fill_(0xFF)
