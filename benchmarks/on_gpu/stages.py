"""The stages of benchmarks/gpu.py, one function each, which yields rows of the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cortado import passes
from cortado.compiler.ir import Constant, Graph, Node, Value
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.targets import target
from cortado.compiler.types import DTYPES
from cortado.driver import Options, compile_graph
from cortado.runtime.artifact import read, write
from cortado.runtime.net import Net
from cortado.runtime.plan import Step

from .machine import CpuMachine, GpuMachine, summarize_times
from .nets import BenchmarkCase, build_graph, random_inputs, relative_error, to_device
from .steps import StepRunner, Work
from .torch_net import make_torch_net

Machine = CpuMachine | GpuMachine
Row = dict[str, Any]
ERROR_LIMITS: Mapping[str, Mapping[str, float]] = {
    "f32": {"kernel": 1e-5, "net": 1e-4},
    "f16": {"kernel": 2e-3, "net": 2e-2},
}
"""The tolerated relative L2 error against float64, of a single kernel and of a whole net."""

MATMULS = (("f16", torch.float16, False), ("tf32", torch.float32, True), ("f32", torch.float32, False))


def environment(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    yield machine.describe()


def compile(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """Compile ahead of time, on the CPU. Files that are in the folder already, from another machine, are used."""
    for case in cases:
        path = artifact_path(work, case)
        start = time.perf_counter()
        if not path.exists():
            write(path, compile_graph(build_graph(case), Options(target=machine.target(case.dtype))).artifact)
        artifact = read(path)
        launches = sum(step.kind != "view" for step in artifact.plan.steps)
        yield {
            "case": case.name,
            "seconds": round(time.perf_counter() - start, 2),
            "steps": launches,
            "cubins": len(artifact.binaries),
            "arena_bytes": artifact.plan.arena,
            "file_bytes": path.stat().st_size,
        }


def kernels(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """Every kernel alone, on random operands and a poisoned result, against its reference in float64."""
    seen = set[str]()
    for case in cases:
        artifact = read(artifact_path(work, case))
        final = passes.run(build_graph(case), passes.Context(target(machine.target(case.dtype)))).graph
        apart = machine.make_steps(artifact)
        makers = final.producer
        waiting = []
        for number, (step, run) in enumerate(apart.steps()):
            waiting.append((step, run))
            node = makers.get(final.values[step.results[0]]) if step.results[0] in final.values else None
            if node is None:
                continue  # a node of several steps: only the last one computes its result
            key = f"{step.label} {[str(v.type) for v in (*node.inputs, *node.results)]}"
            if key not in seen:
                seen.add(key)
                yield {
                    "case": case.name,
                    "step": number,
                    "kernel": step.label,
                    **check_kernel(apart, node, waiting, number, machine.device),
                }
            waiting = []


def check_kernel(apart: StepRunner, node: Node, steps: list[tuple[Step, Work]], seed: int, device: str) -> Row:
    """The error of one kernel. The results are poisoned before the operands are written, which may alias them."""
    random = torch.Generator().manual_seed(seed)
    env: dict[Value, Tensor] = {}
    for value in node.results:
        apart.poison(value.name)
    for value in dict.fromkeys(node.inputs):
        if not isinstance(value, Constant):
            env[value] = torch.randn(value.type.shape, generator=random).to(dtype_of(value))
            apart.write(value.name, env[value])
    for _, run in steps:
        run()
    operands = [(v.data if isinstance(v, Constant) else env[v]).to(device).double() for v in node.inputs]
    made = node.op.compute(operands)
    worst = max(relative_error(apart.read(v.name), m.to(dtype_of(v))) for v, m in zip(node.results, made, strict=True))
    return judge_error(worst, node.results[0].type.dtype, "kernel")


def dtype_of(value: Value) -> torch.dtype:
    return DTYPES[value.type.dtype]


def judge_error(worst: float, dtype: str, what: str) -> Row:
    limit = ERROR_LIMITS[dtype][what]
    return {"error": float(f"{worst:.3g}"), "limit": limit, "right": worst <= limit}


def nets(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """Whole nets against the reference in float64, on two random inputs, with all values poisoned in between."""
    for case in cases:
        net, plain = Net.from_artifact(read(artifact_path(work, case))), build_graph(case)
        for seed in (1, 2):
            given = random_inputs(plain, seed)
            poison(net)
            found = net(given)
            expected = run_reference(plain, given, machine)
            worst = max(relative_error(found[name], expected[name]) for name, _ in plain.returns)
            yield {"case": case.name, "seed": seed, **judge_error(worst, case.dtype, "net")}


def run_reference(plain: Graph, given: Mapping[str, Tensor], machine: Machine) -> dict[str, Tensor]:
    """The reference in float64, computed on the machine's device."""
    there = {name: x.to(machine.device) for name, x in given.items()}
    return evaluate_blobs(to_device(plain, machine.device), there, torch.float64)


def poison(net: Net) -> None:
    """Fill the memory of values that the next call uses with NaN."""
    for program in net.programs.values():
        for instance in getattr(program, "pool", ()):
            if hasattr(instance, "poison"):
                instance.poison()
            else:
                instance.arena.fill_(0xFF)


def roofline(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """The machine's limits: copies, matrix products of random numbers in each precision, launch latency."""
    dry = machine.device == "cpu"
    count, size = (1 << 16, 64) if dry else (1 << 30, 8192)
    source, copy = torch.randn(count, device=machine.device), torch.empty(count, device=machine.device)
    times = machine.measure_milliseconds(partial(copy.copy_, source), 20)
    yield {"what": "copy", **summarize_times(times), "gb_per_s": round(2 * 4 * count / min(times) / 1e6, 1)}
    for name, dtype, tf32 in MATMULS:
        a, b = (torch.randn(size, size, device=machine.device).to(dtype) for _ in range(2))
        torch.backends.cuda.matmul.allow_tf32 = tf32
        times = machine.measure_milliseconds(partial(torch.mm, a, b), 10)
        yield {
            "what": f"matmul {name}",
            **summarize_times(times),
            "tflop_per_s": round(2 * size**3 / min(times) / 1e9, 2),
        }
    small = torch.zeros(32, device=machine.device)

    def chain(small: Tensor = small) -> None:
        for _ in range(100):
            small.add_(1)

    times = [t / 100 for t in machine.measure_milliseconds(machine.capture(chain), 20)]
    yield {"what": "dependent launch in a graph", **summarize_times(times)}


def ours(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """The compiled net's CUDA graph, with inputs and outputs on the device."""
    for case in cases:
        net = Net.from_artifact(read(artifact_path(work, case)))
        given = {name: x.to(machine.device) for name, x in random_inputs(build_graph(case), 3).items()}
        yield {
            "case": case.name,
            "who": "cortado",
            **summarize_times(machine.measure_milliseconds(machine.bind(net, given), 50)),
        }


def eager(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """torch with cuDNN's autotuner, channels last, replayed as a CUDA graph."""
    torch.backends.cudnn.benchmark = True
    for case in cases:
        module, given, same = prepare_torch_net(machine, case)
        with torch.inference_mode():
            times = machine.measure_milliseconds(machine.capture(partial(module, *given)), 50)
        yield {"case": case.name, "who": "eager, channels last, CUDA graph", **summarize_times(times), **same}


def compiled(machine: Machine, cases: list[BenchmarkCase], work: Path) -> Iterator[Row]:
    """torch.compile with max-autotune, which uses CUDA graphs."""
    for case in cases:
        module, given, same = prepare_torch_net(machine, case)
        start = time.perf_counter()
        tuned = torch.compile(module, mode="max-autotune") if machine.device == "cuda" else module
        with torch.inference_mode():
            tuned(*given)
            seconds = round(time.perf_counter() - start, 1)
            times = machine.measure_milliseconds(partial(tuned, *given), 50)
        row = {"case": case.name, "who": "torch.compile, max-autotune", "compile_seconds": seconds}
        yield {**row, **summarize_times(times), **same}


def prepare_torch_net(machine: Machine, case: BenchmarkCase) -> tuple[Any, list[Tensor], Row]:
    """The net in torch, its inputs, and its error against the reference, to show that it is the same net."""
    plain = build_graph(case)
    module, own = make_torch_net(plain, machine.device)
    module, given = module.to(DTYPES[case.dtype]), random_inputs(plain, 3)
    there = [x.to(machine.device, DTYPES[case.dtype], memory_format=memory_format(x)) for x in given.values()]
    with torch.inference_mode():
        found = module(*there)
    expected = run_reference(plain, given, machine)
    worst = max(relative_error(f, expected[name]) for f, (name, _) in zip(found, plain.returns, strict=True))
    return module, there, {**judge_error(worst, case.dtype, "net"), "torch_only": own}


def memory_format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.ndim == 4 else torch.contiguous_format


def artifact_path(work: Path, case: BenchmarkCase) -> Path:
    return work / f"{case.name}.cortado"


STAGE_FUNCTIONS: Mapping[str, Callable[[Machine, list[BenchmarkCase], Path], Iterator[Row]]] = {
    function.__name__: function for function in (environment, compile, kernels, nets, roofline, ours, eager, compiled)
}
