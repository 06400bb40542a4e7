"""Each node as its steps: a native one, one of the host's, or, for a fused node without either, two of the host's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ....runtime.artifact import Plan, Slot, Step
from ....runtime.native.source import FINDS_ROWS, reason_not_native
from ...codegen.host_steps import lower_alone, make_host_step
from ...cost import is_free
from ...ir import Graph, Node, Value
from ...kernel import build_kernel, external_operands, kernel_graph
from ...op import Elementwise
from ...ops.fused import Fused
from ...plan import PlannedGraph
from ...slots import slots_and_weights
from ...storage import resolve_storage
from ..onednn import OneDnn
from ..onednn.target import lower as lower_onednn
from .algorithms import choose_algorithm
from .lowering import alias_step, count_name, lower_native
from .movement import lower_movement

ONEDNN = OneDnn()
LINE = 64  # bytes


@dataclass(frozen=True, slots=True)
class LoweredNode:
    """The steps of a node.

    `reason` says why the host runs them. `slots` are of values that only the steps know: numbers of rows, for which
    each node has a line of memory behind the arena, and values between steps, in `scratch` bytes behind those.
    """

    steps: tuple[Step, ...]
    reason: str = ""
    slots: Mapping[str, Slot] = field(default_factory=dict)
    scratch: int = 0


@dataclass(frozen=True, slots=True)
class LoweredNodes:
    """A graph's nodes in order, and the bytes that they need behind the arena."""

    nodes: tuple[LoweredNode, ...]
    scratch: int


def lower_graph(planned: PlannedGraph, winograd: bool) -> LoweredNodes:
    """The steps of each node. Memory has to be planned. Unsupported if there is nothing for a node."""
    slots, weights = slots_and_weights(planned)
    arena = planned.plan.arena or 0
    counted = [node for node in planned.graph.nodes if kernel_graph(node).nodes[0].op.name in FINDS_ROWS]
    counts = {count_name(node): Slot("i32", (1,), at=arena + i * LINE) for i, node in enumerate(counted)}
    plan = Plan(planned.graph.name, "native", "native", 1, arena + len(counts) * LINE,
                tuple(v.name for v in planned.graph.inputs), slots | counts, weights, (), ())  # fmt: skip
    storages = resolve_storage(planned)
    nodes = tuple(
        LoweredNode((alias_step(node),))
        if is_free(node, planned, storages) and all(v.type.is_static for v in node.results)
        else lower_node(node, plan, winograd)
        for node in planned.graph.nodes
    )
    return LoweredNodes(nodes, len(counts) * LINE + max((node.scratch for node in nodes), default=0))


def lower_node(node: Node, plan: Plan, winograd: bool) -> LoweredNode:
    if winograd and (algorithm := choose_algorithm(bound_anchor(node))):
        step = lower_native(node, algorithm)
        if step is not None and not reason_not_native(step, plan):
            return LoweredNode((step,))
    step = lower_native(node)
    steps = lower_movement(node, plan) if step is None else (step,)
    if steps:
        reason = next(filter(None, (reason_not_native(step, plan) for step in steps)), "")
        if not reason:
            found = {name for step in steps for name in step.results} - {v.name for v in node.results}
            return LoweredNode(steps, slots={name: plan.slots[name] for name in found})
    else:
        reason = f"{kernel_graph(node).nodes[0].op.name} has no kernel in C"
    kernel = kernel_graph(node)
    if ONEDNN.accepts(kernel) is None:
        return LoweredNode((make_host_step(node, lower_onednn(kernel)),), reason)
    return split_node(node, kernel, plan, reason)


def bound_anchor(node: Node) -> Node:
    """The first operator of a node, with the node's own operands: inside a kernel they have other names and no data."""
    kernel = kernel_graph(node)
    outside = dict(zip(kernel.inputs, external(node), strict=True))
    anchor = kernel.nodes[0]
    return replace(anchor, inputs=tuple(outside[v] for v in anchor.inputs))


def external(node: Node) -> tuple[Value, ...]:
    """The operands of a node, in the order of its kernel's inputs."""
    return node.inputs if isinstance(node.op, Fused) else external_operands([node])


def split_node(node: Node, kernel: Graph, plan: Plan, reason: str) -> LoweredNode:
    """A fused node as its first operator, into scratch memory, and the elementwise rest from there."""
    anchor, *epilogue = kernel.nodes
    outside = dict(zip(kernel.inputs, node.inputs, strict=True))
    between = replace(node.output, name=f"{node.output.name}.sum")
    first = Node(anchor.op, tuple(outside[v] for v in anchor.inputs), (between,), node.loc)
    inner = {**outside, anchor.output: between}
    rest = list[Node]()
    for n in epilogue:
        assert isinstance(n.op, Elementwise), n.op.name
        result = node.output if n is epilogue[-1] else n.output
        rest.append(Node(n.op, tuple(inner[v] for v in n.inputs), (result,), node.loc))
        inner[n.output] = result
    body = build_kernel(rest, (node.output,))
    made = {n.output for n in rest}
    reads = tuple(dict.fromkeys(v for n in rest for v in n.inputs if v not in made))
    second = Node(Fused(body), reads, (node.output,), node.loc)
    slot = plan.slots[node.output.name]
    scratch = Slot(slot.dtype, slot.dims, slot.layout, plan.arena)
    steps = (
        make_host_step(first, lower_onednn(kernel_graph(first))),
        make_host_step(second, lower_alone(kernel_graph(second))),
    )
    return LoweredNode(steps, reason, {between.name: scratch}, scratch.nbytes)
