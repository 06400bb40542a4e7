"""Lowers a planned graph to steps on a GPU: launches of kernels, and host steps where there is no kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ....runtime.artifact import Step, Weight
from ...codegen.host_steps import make_host_step
from ...errors import Unsupported
from ...ir import Constant, Graph, Node, Value, handle
from ...kernel import external_operands, kernel_graph
from ...ops.fused import Fused
from ...slots import SlotsAndWeights
from ...types import TensorType
from .aot import Job, MachineCode, compile_machine_code
from .generate import GeneratedKernel, lower
from .hardware import NEWEST_ARCHITECTURE
from .kernel_spec import DEFAULTS, KernelProblem, KernelSettings, Packing
from .parameters import launch_arguments
from .tf32 import split_tf32
from .view import view_of


@dataclass(slots=True)
class CompiledKernels:
    """The result of lowering: steps, packed weights, and the source and machine code of each kernel."""

    steps: list[Step] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    cubins: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoweredNode:
    """A node and its kernels, one per architecture; none if its results are in place already."""

    node: Node
    label: str
    reads: tuple[Value, ...]
    kernels: tuple[GeneratedKernel, ...]


@dataclass(frozen=True, slots=True)
class HostNode:
    """A node that runs on the host, and the reason."""

    step: Step
    reason: str


CompileFunction = Callable[[Mapping[str, str], Sequence[Job]], Mapping[Job, MachineCode]]


def compile_kernels(
    graph: Graph,
    places: SlotsAndWeights,
    settings: KernelSettings = DEFAULTS,
    compile: CompileFunction = compile_machine_code,
) -> CompiledKernels:
    """All steps, with machine code. `places` are the slots and weights of the graph's values by name."""
    found = [lower_node(node, places, settings) for node in graph.nodes]
    launches = [launch for l in found if isinstance(l, LoweredNode) for launch in l.kernels]
    made = CompiledKernels(sources={launch.name: launch.text for launch in launches})
    code = compile(made.sources, compile_jobs(launches))
    made.cubins = {f"{n}.{a}": torch.frombuffer(bytearray(m.cubin), dtype=torch.uint8) for (n, a), m in code.items()}
    for one in found:
        made.steps.append(one.step if isinstance(one, HostNode) else make_step(one, code, made))
    return made


def generate_sources(graph: Graph, places: SlotsAndWeights, settings: KernelSettings = DEFAULTS) -> dict[str, str]:
    """The source of every kernel by name. Nothing is compiled."""
    found = [lower_node(node, places, settings) for node in graph.nodes]
    return {launch.name: launch.text for l in found if isinstance(l, LoweredNode) for launch in l.kernels}


def lower_node(node: Node, places: SlotsAndWeights, settings: KernelSettings = DEFAULTS) -> LoweredNode | HostNode:
    """The kernels of a node, or a host step if there is no kernel for it and it is not fused."""
    body, results = kernel_graph(node), tuple(v.name for v in node.results)
    outside = node.inputs if isinstance(node.op, Fused) else external_operands([node])
    try:
        operands, written = (
            tuple(view_of(places[name]) for name in names) for names in ((v.name for v in outside), results)
        )
        constants = frozenset(i for i, v in enumerate(outside) if isinstance(v, Constant))
        infinite = frozenset(i for i in constants if is_infinite(outside[i]))
        launches = lower(KernelProblem(body, operands, written, constants, settings, infinite))
        unpackable = [
            outside[packing.source]
            for l in launches
            for packing in l.spec.weight_packing.values()
            if packing.source not in constants
        ]
        if unpackable:
            raise Unsupported(f"{unpackable[0].name} is computed, and a GPU's weights are packed beforehand", node.loc)
    except Unsupported as e:
        if isinstance(node.op, Fused):
            raise
        return HostNode(make_host_step(node), e.message)
    return LoweredNode(node, body.name, tuple(outside), launches)


def is_infinite(value: Value) -> bool:
    """True for a constant that holds an infinity or NaN, as far as its data is known."""
    return isinstance(value, Constant) and value.is_bound and not bool(value.data.isfinite().all())


def make_step(one: LoweredNode, code: Mapping[Job, MachineCode], made: CompiledKernels) -> Step:
    """The step of a node with kernels; its weights are packed."""
    results = tuple(v.name for v in one.node.results)
    if not one.kernels:
        return Step("view", {}, tuple(v.name for v in one.reads), results, one.label)
    reads = [v.name for v in one.reads]
    for number, packing in sorted(one.kernels[0].spec.weight_packing.items()):
        reads[number : number + 1] = [pack_weight(one.reads[packing.source], packing, made)]
    return Step("launch", launch_attributes(one.kernels, code), tuple(reads), results, one.label)


def pack_weight(value: Value, packing: Packing, made: CompiledKernels) -> str:
    """The name of a packed weight, which is created once."""
    assert isinstance(value, Constant)
    part = f":{packing.part}" if packing.part else ""
    name = f"{value.name}:{''.join(map(str, packing.order))}{part}"
    if name not in made.weights:
        data = value.data.permute(packing.order).contiguous().reshape(packing.shape)
        data = split_tf32(data)[packing.part] if packing.part else data
        content = handle(TensorType(value.type.dtype, packing.shape), data)
        made.weights[name], made.tensors[content] = Weight(value.type.dtype, packing.shape, content), data
    return name


def compile_jobs(launches: Sequence[GeneratedKernel]) -> list[Job]:
    """Pairs of kernel name and architecture that have to be compiled."""
    return [(launch.name, a) for launch in launches for a in launch.spec.architectures]


def launch_attributes(launches: Sequence[GeneratedKernel], code: Mapping[Job, MachineCode]) -> dict[str, Any]:
    """The attributes of the primitive `launch`; `variants` holds what differs on other architectures."""
    by = {a: kernel_attributes(launch, code[launch.name, a]) for launch in launches for a in launch.spec.architectures}
    newest = by.pop(NEWEST_ARCHITECTURE)
    variants = {a: {k: v for k, v in its.items() if newest[k] != v} for a, its in by.items()}
    return {**newest, "variants": {a: changed for a, changed in variants.items() if changed}}


def kernel_attributes(launch: GeneratedKernel, machine: MachineCode) -> dict[str, Any]:
    """The launch attributes of one kernel; the boxes of its descriptors come from its machine code."""
    cut = iter(machine.descriptors)
    given = [
        {"descriptor": {**a["descriptor"], **next(cut)}} if "descriptor" in a else a
        for a in launch_arguments(launch.spec.parameters)
    ]
    sizes = {"warps": machine.warps, "shared": machine.shared, "grid": list(launch.spec.grid), "cuda": machine.cuda}
    return {"kernel": launch.name, **sizes, "overlaps": launch.spec.overlaps, "arguments": given}
