"""Times each kernel of each net: a graph of 20 launches of the same step, over the memory of an instance."""

from __future__ import annotations

from functools import partial

from cortado.compiler.cost import flops, traffic
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.storage import resolve_storage
from cortado.runtime.cuda.graph import CudaGraph
from cortado.runtime.cuda.launch import Launch

from .machine import GpuMachine, summarize_times
from .nets import BenchmarkCase
from .session import StageRun
from .steps import GpuStepRunner

LAUNCHES = 20
ROUNDS = 8
WARM_SECONDS = 0.01  # of one step; the stage as a whole keeps the clocks up


def time_steps(run: StageRun) -> None:
    """The time of each step, with the bytes that it moves at least and its operations.

    The launches of a graph read the same memory, so the caches are warm: what fits in L2 (50 MB) is not read again.
    """
    for case in run.cases():
        _, final = run.graphs(case)
        for runner in run.load_steps(case):
            assert isinstance(runner, GpuStepRunner)
            time_steps_of(run, case, final, runner)


def time_steps_of(run: StageRun, case: BenchmarkCase, final: PlannedGraph, runner: GpuStepRunner) -> None:
    storages = resolve_storage(final)
    makers = {v.name: (number, node) for number, node in enumerate(final.graph.nodes) for v in node.results}
    fill_with_numbers(runner)
    for step, launch in runner.launches():
        number, node = makers[step.results[0]]
        key = f"{case.name}/{number:03} {step.label}"
        run.require_time()
        if not run.journal.wants(key):
            continue
        with run.journal.item(key, run.machine.seconds_of_kernel):
            stated = {
                "kernel": step.label,
                "function": launch.kernel.name,
                "grid": list(launch.grid),
                "warps": launch.block // 32,
            }
            least = {"flops": flops(node), "bytes": traffic(node, final, storages), "caches": "warm"}
            times = time_launch(run, runner, launch)
            row = {"case": case.name, "step": number, **stated, **least}
            run.journal.row("steps", key, **row, **summarize_times(times))


def fill_with_numbers(runner: GpuStepRunner) -> None:
    """Fill the arena and the inputs with finite numbers: kernels may take another time for NaN or zeros."""
    for memory in (runner.memory, *runner.inputs.values()):
        memory.random_(0, 48)  # bytes; as f16 and f32 these are small positive numbers
    runner.synchronize()


def time_launch(run: StageRun, runner: GpuStepRunner, launch: Launch, rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of one launch, from a graph of LAUNCHES."""
    assert isinstance(run.machine, GpuMachine)
    graph = CudaGraph(runner.instance.device, runner.instance.stream, [launch] * LAUNCHES)
    work = partial(graph, runner.stream)
    (times,) = run.machine.alternate([work], rounds, WARM_SECONDS, runner.stream)
    runner.synchronize()
    return [t / LAUNCHES for t in times]
