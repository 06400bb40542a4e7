"""Runs one case: compiled for a GPU, run by the interpreter, compared with the reference in float64."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.rewrite import Writer
from cortado.compiler.slots import slots_and_weights
from cortado.compiler.targets import target
from cortado.compiler.targets.cuda import Cuda, lowering
from cortado.compiler.targets.cuda.aot import Job, MachineCode
from cortado.compiler.text import parse
from cortado.compiler.types import DTYPES
from cortado.passes import PIPELINE, Context, run
from cortado.runtime.artifact import Plan

from . import interpreter

TOLERANCE = {"f32": 1e-5, "f16": 4e-3}  # of the largest number of the output


@dataclass(frozen=True)
class KernelCase:
    """A net in cortado's language. Weights without data are random; all images get the layout `layout`, if given.

    `kernels` are words that have to occur in the kernels' sources; `special` puts infinities, NaN and zeros of both
    signs into the inputs. For an `architecture` other than the newest, its variants of the kernels run.
    """

    text: str
    target: str = "cuda"
    layout: str = ""
    kernels: tuple[str, ...] = ()
    special: bool = False
    architecture: str = ""


def net(x: str, body: str, **weights: str) -> str:
    """The text of a net with one input x; the statements of `body` are separated by semicolons."""
    lines = [f"    weight {name}: {type}" for name, type in weights.items()] + [
        f"    {line}" for line in body.split("; ")
    ]
    return f"net case(x: {x}) {{\n" + "\n".join(lines) + "\n}\n"


def prove(case: KernelCase) -> str:
    """Raise AssertionError if the kernels' outputs differ from the reference; else return the error in words."""
    graph = fill_weights(parse(case.text, "case.net"), case.text)
    if case.layout:
        graph = with_layout(graph, case.layout)
    return prove_graph(graph, case)


def prove_graph(graph: Graph, case: KernelCase) -> str:
    on, seed = case.target, case.text
    final = run(graph, Context(target(on)), PIPELINE)
    inputs = {v.name: random_input(v, seed, case.special) for v in final.graph.inputs}
    plan, made = lower(final, on)
    for word in case.kernels:
        assert any(word in text for text in made.sources.values()), f"no kernel has {word!r}"
    tensors = {c.handle: c.data for c in final.graph.constants} | made.tensors
    given = {name: to_layout(t, plan.slots[name].layout) for name, t in inputs.items()}
    got = interpreter.run(plan, made.sources, tensors, given, case.architecture)
    meant = evaluate_blobs(final.graph, inputs, torch.float64)
    worst = 0.0
    for name, value in final.graph.returns:
        worst = max(worst, measure_difference(name, got[name], meant[name], TOLERANCE[value.type.dtype]))
    return f"{worst:.1e}"


def measure_difference(name: str, got: Tensor, meant: Tensor, tolerance: float) -> float:
    """The largest difference, relative to the largest finite number; infinities and NaN have to be equal."""
    meant = meant.to(got.dtype).double()
    finite = meant.isfinite()
    largest = meant[finite].abs().max().item() if finite.any() else 1.0
    torch.testing.assert_close(
        got.double(),
        meant,
        rtol=tolerance,
        atol=tolerance * max(largest, 1e-30),
        equal_nan=True,
        msg=lambda m: f"{name}: {m}",
    )
    return ((got.double() - meant)[finite].abs().max().item() / max(largest, 1e-30)) if finite.any() else 0.0


def lower(planned: PlannedGraph, on: str) -> tuple[Plan, lowering.CompiledKernels]:
    """The plan and the kernels' sources, without machine code."""
    graph, memory = planned
    slots, weights = slots_and_weights(planned)
    cuda = target(on)
    assert isinstance(cuda, Cuda)
    made = lowering.compile_kernels(graph, {**slots, **weights}, cuda.settings, stub_machine_code)
    returns = tuple((name, v.name) for name, v in graph.returns)
    names = tuple(v.name for v in graph.inputs)
    weights |= made.weights
    plan = Plan("case", on, "cuda", 1, memory.arena or 0, names, slots, weights, tuple(made.steps), returns)
    return plan, made


def stub_machine_code(texts: Mapping[str, str], jobs: Sequence[Job]) -> dict[Job, MachineCode]:
    """A placeholder for machine code, which is not run."""
    boxes = ({"box": [1], "swizzle": 0},) * 3
    return {job: MachineCode(b"none", 0, 4, 1, 0, 0, 0, 0, boxes) for job in jobs}


def fill_weights(graph: Graph, seed: str) -> Graph:
    """The graph with random data for weights that have none, scaled to keep sums near 1."""
    writer = Writer(graph)
    for c in graph.constants:
        if not c.is_bound:
            scale = (c.type.numel // c.type.shape[0]) ** -0.5 if c.type.rank > 1 else 1.0
            data = (torch.randn(c.type.shape, generator=generator(seed + c.name)) * scale).to(DTYPES[c.type.dtype])
            writer[c] = Constant(c.name, c.type, data=data.abs() + 0.5 if "variance" in c.name else data)
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()


def with_layout(graph: Graph, layout: str) -> Graph:
    """The graph with every image in this layout."""
    writer = Writer(graph)

    def assign(value: Value) -> Value:
        image = value.type.rank == 4 and not isinstance(value, Constant)
        writer[value] = replace(value, layout=layout) if image else value
        return writer[value]

    inputs = tuple(map(assign, graph.inputs))
    for node in graph.nodes:
        read = tuple(writer[v] for v in node.inputs)
        writer.add(replace(node, inputs=read, results=tuple(map(assign, node.results))))
    writer.graph = replace(graph, inputs=inputs)
    return writer.finish()


def random_input(value: Value, seed: str, special: bool) -> Tensor:
    data = torch.randn(value.type.shape, generator=generator(seed + value.name)).to(DTYPES[value.type.dtype])
    if special:
        odd = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 1e-30, -1e-30, 1e-4, 80.0, -80.0, 1e30, -1e30])
        odd = torch.cat([odd, torch.tensor([float("inf"), -float("inf"), float("nan")])]).to(data.dtype)
        data.flatten()[: len(odd)] = odd
    return data


def generator(seed: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(seed.encode()))


def to_layout(tensor: Tensor, layout: str) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if layout == "nhwc" else tensor.contiguous()
