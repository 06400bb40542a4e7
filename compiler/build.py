"""The last step: a planned graph becomes an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..runtime.artifact import Artifact, Plan, Slot, Step, Weight
from .codegen import for_cpu, for_cuda
from .cost import is_free
from .errors import CompileError
from .ir import Graph, Node, Value
from .kernel import external_operands, kernel_graph
from .ops.fused import Fused
from .plan import MemoryPlan, PlannedGraph
from .storage import Storages, resolve_storage, root_channels
from .text import show
from .text.show import kernel_body
from .types import AtMost, TensorType


def build(planned: PlannedGraph, source: Graph, target: str, version: dict[str, str] | None = None) -> Artifact:
    """The artifact of a graph with its memory plan. `source` is the net to compile again for other shapes.

    CompileError if a weight has no numbers, memory is not planned, or the target has nothing for a kernel.
    """
    graph, memory = planned
    if unbound := [c.name for c in graph.constants if not c.is_bound]:
        more = f" and {len(unbound) - 1} more" if len(unbound) > 1 else ""
        advice = "Give the caffemodel, or a function that makes weights."
        raise CompileError(f"{graph.name}: the weight {unbound[0]}{more} has no numbers", advice=advice)
    slots, weights = slots_and_weights(planned)
    constants = (*graph.constants, *source.constants)
    tensors, hashes = {c.handle: c.data for c in constants}, {c.handle: c.digest for c in constants}
    if target == "cpu":
        steps, sources, cubins = [lower_node(n) for n in graph.nodes], kernel_texts(graph), dict[str, Tensor]()
    else:
        made = for_cuda.compile_kernels(graph, {**slots, **weights}, is_strict(target))
        steps, sources, cubins = made.steps, made.sources, made.cubins
        weights, tensors = keep_used_weights(weights | made.weights, tensors | made.tensors, steps, graph, source)
    plan = Plan(
        net=graph.name,
        target=target,
        arena=memory.arena or 0,
        inputs=tuple(v.name for v in graph.inputs),
        slots=slots,
        weights=weights,
        steps=tuple(steps),
        outputs=tuple((name, v.name) for name, v in graph.returns),
    )
    return Artifact(plan, tensors, show(source), show(*planned), sources, {}, version or {}, hashes, cubins)


def lower_node(node: Node) -> Step:
    """A node as a primitive of the CPU."""
    body = kernel_graph(node)
    call = for_cpu.lower(body)
    outside = node.inputs if isinstance(node.op, Fused) else external_operands([node])
    reads = tuple(outside[i].name for i in call.operands)
    return Step(call.primitive, call.attributes, reads, tuple(v.name for v in node.results), body.name)


def keep_used_weights(
    weights: dict[str, Weight], tensors: dict[str, Tensor], steps: Sequence[Step], graph: Graph, source: Graph
) -> tuple[dict[str, Weight], dict[str, Tensor]]:
    """The weights that steps and outputs name; of the tensors those, and what `source` needs to be compiled again."""
    named = {name for s in steps for name in s.operands} | {v.name for v in graph.outputs}
    weights = {name: weight for name, weight in weights.items() if name in named}
    handles = {w.handle for w in weights.values()} | {c.handle for c in source.constants}
    return weights, {h: tensor for h, tensor in tensors.items() if h in handles}


def kernel_sources(planned: PlannedGraph, target: str) -> dict[str, str]:
    """For people to read: each kernel of a graph by name; for a GPU (memory has to be planned) as its Triton file."""
    if target == "cpu":
        return kernel_texts(planned.graph)
    slots, weights = slots_and_weights(planned)
    return for_cuda.generate_sources(planned.graph, {**slots, **weights}, is_strict(target))


class LaunchCount(NamedTuple):
    """How often a target starts something in one run: its own kernels, and primitives of the host."""

    kernels: int
    host: int = 0


def count_launches(planned: PlannedGraph, target: str) -> LaunchCount:
    """What a planned graph costs in launches; what stands in its place already costs none. Nothing is compiled."""
    if target == "cpu":
        storages = resolve_storage(planned)
        return LaunchCount(sum(not is_free(node, planned, storages) for node in planned.graph.nodes))
    slots, weights = slots_and_weights(planned)
    found = [for_cuda.lower_node(node, {**slots, **weights}, is_strict(target)) for node in planned.graph.nodes]
    kernels = sum(bool(one.kernels) for one in found if isinstance(one, for_cuda.LoweredNode))
    return LaunchCount(kernels, sum(isinstance(one, Step) for one in found))


def is_strict(target: str) -> bool:
    """True if f32 is to be multiplied as f32 alone."""
    return target.endswith("-strict")


def kernel_texts(graph: Graph) -> dict[str, str]:
    """The kernels of fused nodes, in our language."""
    return {b.name: show(b, kind="kernel") for n in graph.nodes if (b := kernel_body(n.op)) is not None}


def slots_and_weights(planned: PlannedGraph) -> tuple[dict[str, Slot], dict[str, Weight]]:
    """Where every input and computed value lies, and what every weight is."""
    graph, plan = planned
    storages = resolve_storage(planned)
    slots = {v.name: Slot(v.type.dtype, plan_dims(v.type), v.layout or "nchw") for v in graph.inputs}
    slots |= {v.name: slot_of(v, storages, plan) for v in storages}
    return slots, {c.name: Weight(c.type.dtype, c.type.shape, c.handle if c.is_bound else "") for c in graph.constants}


def slot_of(value: Value, storages: Storages, plan: MemoryPlan) -> Slot:
    """Where the runtime finds a value: its root's bytes, and which channels of them."""
    storage = storages[value]
    root, at = storage.root, plan.offset(storage.root)
    if at is None:
        raise CompileError(f"{value.name} has no place in the arena: plan_memory comes before build")
    part = None
    if (begin := storage.start(value)) is not None:
        at += begin
    elif storage.channels is not None:
        start = root_channels(value, storages).start
        part = (start, root.type.bounds[1])
    return Slot(value.type.dtype, plan_dims(value.type), value.layout or "nchw", at, part)


def plan_dims(type: TensorType) -> tuple[int | str, ...]:
    return tuple(str(d) if isinstance(d, AtMost) else d for d in type.dims)
