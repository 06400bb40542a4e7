"""Compiles the cases of a call in parallel processes, beside its stages, on the CPU."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from dataclasses import replace
from pathlib import Path

from cortado.compilation import Options, run_passes
from cortado.compiler.build import build
from cortado.compiler.ir import Node
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.slots import SlotsAndWeights
from cortado.compiler.targets.cuda import lowering
from cortado.compiler.targets.cuda.hardware import NEWEST_ARCHITECTURE
from cortado.compiler.targets.cuda.kernel_spec import DEFAULTS, KernelSettings
from cortado.compiler.targets.cuda.lowering import HostNode, LoweredNode, lower_node
from cortado.runtime.artifact import write

from .journal import append
from .machine import Machine
from .nets import BenchmarkCase, build_graph
from .session import CaseFiles, StageRun, save_graphs

MOST_PROCESSES = 6  # each starts compilers of its own for kernels that no cache holds


def prepare(run: StageRun) -> None:
    """Compile all cases for the machine's targets. Files that are there already, from another machine, are used."""
    work = [(case, run.machine.target(case.dtype)) for case in run.session.cases]
    missing = [(case, target) for case, target in work if not CaseFiles(run.work, case, target).graphs.exists()]
    count = min(MOST_PROCESSES, os.cpu_count() or 1, max(len(missing), 1))
    processes = [
        multiprocessing.get_context("fork").Process(target=prepare_cases, args=(missing[number::count], run))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def compile_for_newest(machine: Machine) -> None:
    """From here on, this process compiles kernels for the newest architecture alone, if the machine has it."""
    if machine.has_newest_architecture:
        lowering.lower_node = lower_for_newest


def lower_for_newest(
    node: Node, places: SlotsAndWeights, settings: KernelSettings = DEFAULTS
) -> LoweredNode | HostNode:
    lowered = lower_node(node, places, settings)
    if isinstance(lowered, HostNode):
        return lowered
    own = [kernel for kernel in lowered.kernels if NEWEST_ARCHITECTURE in kernel.spec.architectures]
    only = [replace(kernel, spec=replace(kernel.spec, architectures=(NEWEST_ARCHITECTURE,))) for kernel in own]
    return replace(lowered, kernels=tuple(only))


def prepare_cases(cases: list[tuple[BenchmarkCase, str]], run: StageRun) -> None:
    compile_for_newest(run.machine)
    for case, target in cases:
        start, files = time.monotonic(), CaseFiles(run.work, case, target)
        try:
            launches, size = prepare_case(case, target, run.work)
        except Exception:
            append(files.failed, traceback.format_exc())
            run.journal.fault(f"{case.name} {target}", traceback.format_exc())
            continue
        seconds = round(time.monotonic() - start, 2)
        run.journal.row(
            "results", f"{case.name} {target}", case=case.name, launches=launches, bytes=size, seconds=seconds
        )


def prepare_case(case: BenchmarkCase, target: str, folder: Path) -> tuple[int, int]:
    """Compile a case. Returns the number of its steps that run, and the size of its file.

    The compiled net is written last: its file says that all are there.
    """
    files, plain = CaseFiles(folder, case, target), build_graph(case)
    final = run_passes(PlannedGraph(plain), Options(target)).final
    artifact = build(final, plain, target)
    save_graphs(files.graphs, plain, final)
    write(files.artifact, artifact)
    return sum(step.kind != "view" for step in artifact.plan.steps), files.artifact.stat().st_size
