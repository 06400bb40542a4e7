"""The last step: a planned graph becomes an artifact."""

from __future__ import annotations

from ..runtime.artifact import Artifact, Plan, Slot, Step, Weight
from .codegen import for_cpu
from .errors import CompileError
from .ir import Graph, Node, Value
from .kernel import kernel, operands
from .memory import channels
from .ops.fused import Fused
from .storage import Storage, storages
from .text import show
from .text.show import kernel_of
from .types import AtMost, TensorType

LOWERINGS = {"cpu": for_cpu.lower}


def build(graph: Graph, source: Graph, target: str, version: dict[str, str] | None = None) -> Artifact:
    """The artifact of a graph whose memory is planned. `source` is the net to compile again for other shapes.

    CompileError if a weight has no numbers, memory is not planned, or the target has nothing for a kernel.
    """
    if unbound := [c.name for c in graph.constants if not c.bound]:
        more = f" and {len(unbound) - 1} more" if len(unbound) > 1 else ""
        advice = "Give the caffemodel, or a function that makes weights."
        raise CompileError(f"{graph.name}: the weight {unbound[0]}{more} has no numbers", advice=advice)
    where = storages(graph)
    slots = {v.name: Slot(v.type.dtype, dims(v.type), v.layout or "nchw") for v in graph.inputs}
    slots |= {v.name: slot(v, where) for v in where}
    weights = {c.name: Weight(c.type.dtype, c.type.shape, c.handle) for c in graph.constants}
    tensors = {c.handle: c.data for g in (graph, source) for c in g.constants}
    plan = Plan(
        net=graph.name,
        target=target,
        arena=graph.arena or 0,
        inputs=tuple(v.name for v in graph.inputs),
        slots=slots,
        weights=weights,
        steps=tuple(step(n, target) for n in graph.nodes),
        outputs=tuple((name, v.name) for name, v in graph.returns),
    )
    sources = {b.name: show(b, "kernel") for n in graph.nodes if (b := kernel_of(n.op)) is not None}
    return Artifact(plan, tensors, show(source), show(graph), sources, {}, version or {})


def step(node: Node, target: str) -> Step:
    body = kernel(node)
    call = LOWERINGS[target](body)
    outside = node.inputs if isinstance(node.op, Fused) else operands([node])
    reads = tuple(outside[i].name for i in call.operands)
    return Step(call.primitive, call.attributes, reads, tuple(v.name for v in node.results), body.name)


def slot(value: Value, where: dict[Value, Storage]) -> Slot:
    """Where the runtime finds a value: its root's bytes, and which channels of them."""
    storage = where[value]
    root, at = storage.root, storage.root.place.at
    if at is None:
        raise CompileError(f"{value.name} has no place in the arena: plan_memory comes before build")
    part = None
    if storage.channels is not None:
        start = channels(value, where).start
        part = (start, root.type.bounds[1])
    return Slot(value.type.dtype, dims(value.type), value.layout or "nchw", at, part)


def dims(type: TensorType) -> tuple[int | str, ...]:
    return tuple(str(d) if isinstance(d, AtMost) else d for d in type.dims)
