"""Reduces a net that fails to a few lines that fail in the same way.

Changes are tried from coarse to fine, and kept if the failure stays in its category: fewer passes, fewer outputs, nodes
replaced by inputs, no placements and layouts, default attributes, smaller sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Constant, Graph, Node, Value, declare_weight
from cortado.compiler.ops.shape import Relayout
from cortado.compiler.plan import UNPLANNED, Alias, MemoryPlan, Placement, PlannedGraph, Subview
from cortado.compiler.rewrite import UniqueNames, live_nodes
from cortado.compiler.types import TensorType, upper_bound
from cortado.compiler.verify import verify

from .trial import Failure, NetUnderTrial, Trial

Change = Callable[[PlannedGraph], Iterator[PlannedGraph]]


def reduce_failure(planned: PlannedGraph, failure: Failure) -> tuple[PlannedGraph, Trial]:
    """The smallest net found, and the trial in which it fails."""
    trial = failure.trial

    def fails(planned: PlannedGraph, trial: Trial) -> bool:
        try:
            verify(*planned)
            found = NetUnderTrial(planned).find_failure(trial)
        except (CompileError, ValueError, RuntimeError, IndexError):  # an invalid net, or one that cannot be computed
            return False
        return found is not None and found.category == failure.category

    shorter = True
    while shorter:
        shorter = False
        for fewer in fewer_passes(trial):
            if fails(planned, fewer):
                trial, shorter = fewer, True
                break
        for change in CHANGES:
            for smaller in change(planned):
                if size(smaller) < size(planned) and fails(smaller, trial):
                    planned, shorter = smaller, True
                    break
    return PlannedGraph(replace(planned.graph, name="case"), planned.plan), trial


def size(planned: PlannedGraph) -> tuple[int, ...]:
    """The size of a net as a tuple, the most important number first."""
    graph, plan = planned
    values = [*graph.inputs, *(v for n in graph.nodes for v in n.results)]
    decisions = len(plan.placements) + sum(v.layout is not None for v in values)
    operands, attributes = sum(len(n.inputs) for n in graph.nodes), sum(len(n.op.attributes()) for n in graph.nodes)
    numbers = sum(upper_bound(d) for v in (*graph.inputs, *graph.constants) for d in v.type.dims)
    return len(graph.nodes), len(graph.returns), decisions, operands, attributes, numbers


def fewer_passes(trial: Trial) -> Iterator[Trial]:
    for i in range(len(trial.passes)):
        yield replace(trial, passes=trial.passes[:i] + trial.passes[i + 1 :])


def fewer_outputs(planned: PlannedGraph) -> Iterator[PlannedGraph]:
    graph, plan = planned
    for output in graph.returns:
        yield prune(replace(graph, returns=(output,)), plan)
    for i in range(len(graph.returns)):
        yield prune(replace(graph, returns=graph.returns[:i] + graph.returns[i + 1 :]), plan)
    for node in reversed(graph.nodes):  # an intermediate value as the only output
        yield prune(replace(graph, returns=tuple((v.name, v) for v in node.results)), plan)


def fewer_nodes(planned: PlannedGraph) -> Iterator[PlannedGraph]:
    """Replace a node's results by inputs, or by an operand of the same type."""
    graph, plan = planned
    for node in graph.nodes:
        others = tuple(n for n in graph.nodes if n is not node)
        for operand in node.inputs:
            if len(node.results) == 1 and (operand.type, operand.layout) == (node.output.type, node.output.layout):
                yield substitute(replace(graph, nodes=others), plan, {node.output: operand})
        names = UniqueNames(graph)
        outside = {v: Value(names.fresh("x1"), v.type, v.layout) for v in node.results}
        yield substitute(replace(graph, inputs=(*graph.inputs, *outside.values()), nodes=others), plan, outside)


def fewer_decisions(planned: PlannedGraph) -> Iterator[PlannedGraph]:
    graph, plan = planned
    yield PlannedGraph(graph)
    for value in plan.placements:
        yield PlannedGraph(graph, MemoryPlan({v: p for v, p in plan.placements.items() if v is not value}))
    if not any(isinstance(n.op, Relayout) for n in graph.nodes):
        every = [*graph.inputs, *(v for n in graph.nodes for v in n.results)]
        yield substitute(graph, plan, {v: replace(v, layout=None) for v in every})


def fewer_operands(planned: PlannedGraph) -> Iterator[PlannedGraph]:
    graph, plan = planned
    for i, node in enumerate(graph.nodes):
        for j in range(1, len(node.inputs)):
            smaller = replace(node, inputs=node.inputs[:j] + node.inputs[j + 1 :])
            yield from retype(replace(graph, nodes=(*graph.nodes[:i], smaller, *graph.nodes[i + 1 :])), plan, {})


def plainer_attributes(planned: PlannedGraph) -> Iterator[PlannedGraph]:
    graph, plan = planned
    for i, node in enumerate(graph.nodes):
        usual = {f.name: f.default for f in fields(node.op)}  # type: ignore[arg-type]
        for name in node.op.attributes():
            try:
                op = replace(node.op, **{name: usual[name]})  # type: ignore[type-var]
            except (ValueError, TypeError):
                continue
            smaller = replace(node, op=op)
            yield from retype(replace(graph, nodes=(*graph.nodes[:i], smaller, *graph.nodes[i + 1 :])), plan, {})


def smaller_sizes(planned: PlannedGraph) -> Iterator[PlannedGraph]:
    """Change all dimensions of one size, in inputs and weights, to 1, or decrement them."""
    graph, plan = planned
    outside = [*graph.inputs, *graph.constants]
    for size in sorted({upper_bound(d) for v in outside for d in v.type.dims} - {1}, reverse=True):
        for other in dict.fromkeys((1, 2, size // 2, size - 1)):
            if 0 < other < size:
                dims = {v: tuple(other if d == size else d for d in v.type.dims) for v in outside}
                yield from retype(graph, plan, {v: v.type.with_shape(*dims[v]) for v in outside})
    for value in outside:
        for axis, dim in enumerate(value.type.dims):
            if upper_bound(dim) > 1:
                smaller = (*value.type.dims[:axis], 1, *value.type.dims[axis + 1 :])
                yield from retype(graph, plan, {value: value.type.with_shape(*smaller)})


CHANGES: tuple[Change, ...] = (
    fewer_outputs,
    fewer_nodes,
    fewer_decisions,
    fewer_operands,
    plainer_attributes,
    smaller_sizes,
)


def prune(graph: Graph, plan: MemoryPlan, now: Mapping[Value, Value] | None = None) -> PlannedGraph:
    """The graph without dead nodes and unused inputs, and the placements of the remaining values that are still valid.

    `now` maps values of the plan to their replacements in the graph.
    """
    nodes = live_nodes(list(graph.nodes), list(graph.outputs))
    read = {v for n in nodes for v in n.inputs} | set(graph.outputs)
    graph, now = replace(graph, nodes=nodes, inputs=tuple(v for v in graph.inputs if v in read)), now or {}
    placements = dict[Value, Placement]()
    for old, placement in plan.placements.items():
        base = plan.base(old)
        base = now.get(base, base) if base is not None else None
        if now.get(old, old) not in graph.producer or (base is not None and base not in graph.producer):
            continue
        match placement:
            case Alias() if base is not None:
                placement = Alias(base)
            case Subview(_, first, stop) if base is not None:
                placement = Subview(base, first, stop)
        placements[now.get(old, old)] = placement
    return PlannedGraph(graph, MemoryPlan(placements) if placements else UNPLANNED)


def substitute(graph: Graph, plan: MemoryPlan, now: dict[Value, Value]) -> PlannedGraph:
    def of(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(now.get(v, v) for v in values)

    nodes = tuple(replace(n, inputs=of(n.inputs), results=of(n.results)) for n in graph.nodes)
    returns = tuple((name, now.get(v, v)) for name, v in graph.returns)
    return prune(replace(graph, inputs=of(graph.inputs), nodes=nodes, returns=returns), plan, now)


def retype(graph: Graph, plan: MemoryPlan, types: dict[Value, TensorType]) -> Iterator[PlannedGraph]:
    """The net with other types for inputs and weights; yields nothing if an operator refuses them."""
    now: dict[Value, Value] = {}
    for value, type in types.items():
        now[value] = declare_weight(value.name, type) if isinstance(value, Constant) else replace(value, type=type)
    nodes = list[Node]()
    for node in graph.nodes:
        inputs = tuple(now.get(v, v) for v in node.inputs)
        try:
            made = node.op.infer_types([v.type for v in inputs])
        except ValueError:
            return
        if len(made) != len(node.results):
            return
        now.update((v, replace(v, type=t)) for v, t in zip(node.results, made, strict=True))
        nodes.append(replace(node, inputs=inputs, results=tuple(now[v] for v in node.results)))
    returns = tuple((name, now.get(v, v)) for name, v in graph.returns)
    inputs = tuple(now.get(v, v) for v in graph.inputs)
    yield prune(replace(graph, inputs=inputs, nodes=tuple(nodes), returns=returns), plan, now)
