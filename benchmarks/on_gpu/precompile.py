"""Compiles the kernels of all cases into a folder that travels to the machine with the GPU."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cortado.compilation import Options, run_passes
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.slots import slots_and_weights
from cortado.compiler.targets.cuda.aot import MachineCode, compile_machine_code
from cortado.compiler.targets.cuda.lowering import LoweredNode, compile_jobs

from .contact import DEPENDENT, PLAIN, compile_empty
from .machine import GpuMachine
from .nets import BenchmarkCase, build_graph
from .prepare import lower_for_newest


def precompile(folder: Path, cases: Sequence[BenchmarkCase]) -> None:
    """Compile all kernels of the cases for sm_90 into `folder`, a kernel cache (CORTADO_CACHE), and print its size.

    The machine's Triton has to be of the same version, or it compiles again. Those of the sweep are not among them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["CORTADO_CACHE"] = str(folder.resolve())
    version = importlib.metadata.version("triton")
    code = compile_empty(PLAIN)
    compile_empty(DEPENDENT)
    (folder / f"first-contact-triton-{version}.txt").write_text(encode(code), "utf-8")
    for case in cases:
        texts, jobs = kernels_of(case)
        compile_machine_code(texts, jobs)
        print(f"{case.name}: {len(jobs)} kernels", flush=True)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    print(f"{folder}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB, compiled by Triton {version}")


def kernels_of(case: BenchmarkCase) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The sources of a case's kernels by name, and the pairs of name and architecture to compile."""
    final = run_passes(PlannedGraph(build_graph(case)), Options(GpuMachine().target(case.dtype))).final
    slots, weights = slots_and_weights(final)
    lowered = [lower_for_newest(node, {**slots, **weights}) for node in final.graph.nodes]
    launches = [kernel for one in lowered if isinstance(one, LoweredNode) for kernel in one.kernels]
    return {kernel.name: kernel.text for kernel in launches}, list(dict.fromkeys(compile_jobs(launches)))


def encode(code: MachineCode) -> str:
    return json.dumps({**asdict(code), "cubin": base64.b64encode(code.cubin).decode()})
