"""The first seconds on a machine: what it is, its limits, and whether it takes what the compiler relies on."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cortado.compiler.targets.cuda.aot import MachineCode, cache_folder, compile_machine_code, decode_answer
from cortado.compiler.targets.cuda.hardware import NEWEST_ARCHITECTURE
from cortado.runtime.cuda.device import Stream, device
from cortado.runtime.cuda.graph import CudaGraph
from cortado.runtime.cuda.launch import descriptor_values, make_launch
from cortado.runtime.cuda.modules import Kernel

from .journal import Row
from .machine import GpuMachine, summarize_times
from .session import StageRun
from .variants import as_bytes

SMI_QUERY = (
    "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.draw,power.limit,temperature.gpu"
)
TOOLS = ("nvidia-smi", "compute-sanitizer", "ncu", "cuobjdump", "gcc")
CHAIN = 100  # launches, each of which waits for the one before
MATMULS = (("f16", torch.float16, False), ("tf32", torch.float32, True), ("f32", torch.float32, False))
EMPTY = '''"""An empty kernel, to measure the time between launches: {about}."""

import triton
import triton.language as tl
{imports}

@triton.jit
def {name}(y):
    {body}


SIGNATURE = {{"y": "*fp32"}}
CONSTANTS = {{}}
ALIGNED = ["y"]
OPTIONS = {{"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True{options}}}
'''
PLAIN = {"name": "empty", "about": "each waits for the one before", "imports": "", "body": "pass", "options": ""}
DEPENDENT = {
    "name": "empty_dependent",
    "about": "launched before the one before has ended, for which it waits",
    "imports": "from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait\n",
    "body": "gdc_wait()\n    gdc_launch_dependents()",
    "options": "",
}


ONE_BLOCK: Row = {"grid": [1, 1, 1], "warps": 4, "arguments": [{"operand": 0}], "overlaps": False}


def meet(run: StageRun) -> None:
    """All rows of the first seconds. Each is an item of its own, so that none keeps the next from being tried."""
    tries: list[tuple[str, Callable[[StageRun], Row]]] = [
        ("machine", describe),
        ("cubins", load_cubins),
        ("overlapping tensor map", encode_overlapping_map),
        ("launch chain", partial(time_chain, PLAIN)),
        ("dependent launch chain", partial(time_chain, DEPENDENT)),
        ("copy", time_copy),
        *((f"matmul {name}", partial(time_matmul, dtype, tf32)) for name, dtype, tf32 in MATMULS),
    ]
    for key, action in tries:
        run.require_time()
        if run.journal.wants(key):
            with run.journal.item(key, 4 * run.machine.seconds_of_kernel):
                row = action(run)
                run.journal.row("results", key, **row)
                run.journal.log(f"{key}: {json.dumps(row)}")


def describe(run: StageRun) -> Row:
    with device().make_current():
        found = {**run.machine.describe(), "tools": {tool: shutil.which(tool) or "" for tool in TOOLS}}
    return {"date": time.strftime("%Y-%m-%d"), **found, "smi": read_clocks()}


def read_clocks() -> str:
    """Clocks, power and temperature as nvidia-smi prints them; empty where it is not there."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return ""
    command = [tool, f"--query-gpu={SMI_QUERY}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()


def compile_empty(form: dict[str, str]) -> MachineCode:
    job = (form["name"], NEWEST_ARCHITECTURE)
    return compile_machine_code({form["name"]: EMPTY.format(**form)}, [job])[job]


def load_cubins(run: StageRun) -> Row:
    """Load the empty kernel as each version of Triton at hand compiled it; `precompile` adds theirs to the cache."""
    found: dict[str, Any] = {}
    here = compile_empty(PLAIN)
    codes = {"here": here} | {
        path.stem: read_first_contact(path) for path in cache_folder().glob("first-contact-*.txt")
    }
    with device().make_current():
        for name, code in codes.items():
            try:
                launch_empty(code)
                found[name] = {"loads": True, "assembler": code.cuda}
            except Exception as error:
                found[name] = {"loads": False, "assembler": code.cuda, "error": str(error)}
    return {"cubins": found, "driver": device().cuda}


def launch_empty(code: MachineCode) -> None:
    machine = device()
    kernel, memory, stream = Kernel(machine, "empty", as_bytes(code), 0), machine.allocate(4, "a test"), Stream(machine)
    make_launch(machine.driver, kernel, ONE_BLOCK, {"operand": [memory.address]})(stream.handle)
    machine.driver.cuStreamSynchronize(stream.handle)


def read_first_contact(path: Path) -> MachineCode:
    return decode_answer(json.loads(path.read_text("utf-8")))


def encode_overlapping_map(run: StageRun) -> Row:
    """Does the driver take a tensor map whose strides are smaller than the extents, so that elements overlap?

    It is that of a first convolution, 7×7 and stride 2: overlapping pixels are one dimension of 32 elements, 8 apart.
    """
    n, hp, wp, ow = 2, 230, 232, 112
    with device().make_current():
        memory = device().allocate(2 * n * hp * wp * 4, "a picture")
        form = {
            "of": {"operand": 0},
            "dtype": "f16",
            "shape": [n, hp // 2, 2, ow, 32],
            "strides": [2 * hp * wp * 4, 2 * 2 * wp * 4, 2 * wp * 4, 2 * 2 * 4],
            "box": [1, 8, 1, 16, 32],
            "swizzle": 2,
        }
        try:
            descriptor_values(device().driver, form, {"operand": [memory.address]})
        except ValueError as error:
            return {"taken": False, "error": str(error)}
    return {"taken": True}


def time_chain(form: dict[str, str], run: StageRun) -> Row:
    """The time between launches in a graph of `CHAIN` empty kernels."""
    assert isinstance(run.machine, GpuMachine)
    code, machine = compile_empty(form), device()
    with machine.make_current():
        kernel = Kernel(machine, form["name"], as_bytes(code), code.shared, code.cuda)
        memory, stream = machine.allocate(4, "a chain"), Stream(machine)
        attributes = {**ONE_BLOCK, "overlaps": form is DEPENDENT}
        launch = make_launch(machine.driver, kernel, attributes, {"operand": [memory.address]})
        graph = CudaGraph(machine, stream, [launch] * CHAIN)
        (times,) = run.machine.alternate([lambda: graph(stream.handle)], 20, stream=stream.handle)
        machine.driver.cuStreamSynchronize(stream.handle)
    return {"launches": CHAIN, **summarize_times([t / CHAIN for t in times])}


def time_copy(run: StageRun) -> Row:
    count = 1 << 30 if run.machine.device == "cuda" else 1 << 16
    source, copy = torch.randn(count, device=run.machine.device), torch.empty(count, device=run.machine.device)
    (times,) = run.machine.alternate([partial(copy.copy_, source)], 20)
    return {**summarize_times(times), "gb_per_s": round(2 * 4 * count / min(times) / 1e6, 1)}


def time_matmul(dtype: torch.dtype, tf32: bool, run: StageRun) -> Row:
    size = 8192 if run.machine.device == "cuda" else 64
    a, b = (torch.randn(size, size, device=run.machine.device).to(dtype) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = tf32
    (times,) = run.machine.alternate([partial(torch.mm, a, b)], 10)
    return {**summarize_times(times), "tflop_per_s": round(2 * size**3 / min(times) / 1e9, 2)}
