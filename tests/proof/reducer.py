"""Shrink a net that fails to a few lines that fail the same way, and keep it as a case.

Changes are tried from coarse to fine, each kept if the failure stays one of its sort: fewer passes, fewer outputs,
nodes replaced by inputs, places and layouts forgotten, attributes as they are by default, smaller sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import UNPLACED, Constant, Graph, Node, Value, declare_weight
from cortado.compiler.ops.shape import Relayout
from cortado.compiler.rewrite import UniqueNames, live_nodes
from cortado.compiler.types import TensorType, upper_bound
from cortado.compiler.verify import verify

from .trial import Failure, Subject, Trial

Change = Callable[[Graph], Iterator[Graph]]


def reduced(graph: Graph, failure: Failure) -> tuple[Graph, Trial]:
    """The smallest net that was found, and the trial in which it fails."""
    trial = failure.trial

    def fails(graph: Graph, trial: Trial) -> bool:
        try:
            found = Subject(verify(graph)).fails(trial)
        except (CompileError, ValueError, RuntimeError, IndexError):  # no net, or none that has a meaning
            return False
        return found is not None and found.sort == failure.sort

    shorter = True
    while shorter:
        shorter = False
        for fewer in fewer_passes(trial):
            if fails(graph, fewer):
                trial, shorter = fewer, True
                break
        for change in CHANGES:
            for smaller in change(graph):
                if size(smaller) < size(graph) and fails(smaller, trial):
                    graph, shorter = smaller, True
                    break
    return replace(graph, name="case"), trial


def size(graph: Graph) -> tuple[int, ...]:
    """What makes a net large, in order of weight."""
    values = [*graph.inputs, *(v for n in graph.nodes for v in n.results)]
    decisions = sum(v.place.is_placed for v in values) + sum(v.layout is not None for v in values)
    operands, attributes = sum(len(n.inputs) for n in graph.nodes), sum(len(n.op.attributes()) for n in graph.nodes)
    numbers = sum(upper_bound(d) for v in (*graph.inputs, *graph.constants) for d in v.type.dims)
    return len(graph.nodes), len(graph.returns), decisions, operands, attributes, numbers


def fewer_passes(trial: Trial) -> Iterator[Trial]:
    for i in range(len(trial.passes)):
        yield replace(trial, passes=trial.passes[:i] + trial.passes[i + 1 :])


def fewer_outputs(graph: Graph) -> Iterator[Graph]:
    for output in graph.returns:
        yield pruned(replace(graph, returns=(output,)))
    for i in range(len(graph.returns)):
        yield pruned(replace(graph, returns=graph.returns[:i] + graph.returns[i + 1 :]))
    for node in reversed(graph.nodes):  # an end in the middle
        yield pruned(replace(graph, returns=tuple((v.name, v) for v in node.results)))


def fewer_nodes(graph: Graph) -> Iterator[Graph]:
    """A node's results come from outside, or are an operand that is like them."""
    for node in graph.nodes:
        others = tuple(n for n in graph.nodes if n is not node)
        for operand in node.inputs:
            if len(node.results) == 1 and (operand.type, operand.layout) == (node.output.type, node.output.layout):
                yield pruned(substituted(replace(graph, nodes=others), {node.output: operand}))
        names = UniqueNames(graph)
        outside = {v: Value(names.fresh("x1"), v.type, replace(UNPLACED, layout=v.layout)) for v in node.results}
        yield pruned(substituted(replace(graph, inputs=(*graph.inputs, *outside.values()), nodes=others), outside))


def fewer_decisions(graph: Graph) -> Iterator[Graph]:
    made = [v for n in graph.nodes for v in n.results if v.place.is_placed]
    yield substituted(
        replace(graph, arena=None), {v: replace(v, place=replace(UNPLACED, layout=v.layout)) for v in made}
    )
    for value in made:
        yield substituted(
            replace(graph, arena=None), {value: replace(value, place=replace(UNPLACED, layout=value.layout))}
        )
    if not any(isinstance(n.op, Relayout) for n in graph.nodes):
        every = [*graph.inputs, *(v for n in graph.nodes for v in n.results)]
        yield substituted(graph, {v: replace(v, place=replace(v.place, layout=None)) for v in every})


def fewer_operands(graph: Graph) -> Iterator[Graph]:
    for i, node in enumerate(graph.nodes):
        for j in range(1, len(node.inputs)):
            smaller = replace(node, inputs=node.inputs[:j] + node.inputs[j + 1 :])
            yield from retyped(replace(graph, nodes=(*graph.nodes[:i], smaller, *graph.nodes[i + 1 :])), {})


def plainer_attributes(graph: Graph) -> Iterator[Graph]:
    for i, node in enumerate(graph.nodes):
        usual = {f.name: f.default for f in fields(node.op)}  # type: ignore[arg-type]
        for name in node.op.attributes():
            try:
                op = replace(node.op, **{name: usual[name]})  # type: ignore[type-var]
            except (ValueError, TypeError):
                continue
            smaller = replace(node, op=op)
            yield from retyped(replace(graph, nodes=(*graph.nodes[:i], smaller, *graph.nodes[i + 1 :])), {})


def smaller_sizes(graph: Graph) -> Iterator[Graph]:
    """Every dimension of one size, in inputs and weights alike, becomes another: 1, or one less."""
    outside = [*graph.inputs, *graph.constants]
    for size in sorted({upper_bound(d) for v in outside for d in v.type.dims} - {1}, reverse=True):
        for other in dict.fromkeys((1, 2, size // 2, size - 1)):
            if 0 < other < size:
                dims = {v: tuple(other if d == size else d for d in v.type.dims) for v in outside}
                yield from retyped(graph, {v: v.type.with_shape(*dims[v]) for v in outside})
    for value in outside:
        for axis, dim in enumerate(value.type.dims):
            if upper_bound(dim) > 1:
                smaller = (*value.type.dims[:axis], 1, *value.type.dims[axis + 1 :])
                yield from retyped(graph, {value: value.type.with_shape(*smaller)})


CHANGES: tuple[Change, ...] = (
    fewer_outputs,
    fewer_nodes,
    fewer_decisions,
    fewer_operands,
    plainer_attributes,
    smaller_sizes,
)


def pruned(graph: Graph) -> Graph:
    """Without what no output needs, inputs included."""
    nodes = live_nodes(list(graph.nodes), list(graph.outputs))
    read = {v for n in nodes for v in n.inputs} | set(graph.outputs)
    return replace(graph, nodes=nodes, inputs=tuple(v for v in graph.inputs if v in read))


def substituted(graph: Graph, now: dict[Value, Value]) -> Graph:
    def of(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(now.get(v, v) for v in values)

    nodes = tuple(replace(n, inputs=of(n.inputs), results=of(n.results)) for n in graph.nodes)
    returns = tuple((name, now.get(v, v)) for name, v in graph.returns)
    return replace(graph, inputs=of(graph.inputs), nodes=nodes, returns=returns)


def retyped(graph: Graph, types: dict[Value, TensorType]) -> Iterator[Graph]:
    """The net with other types for inputs and weights; nothing if some node cannot take them."""
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
    yield pruned(replace(graph, inputs=inputs, nodes=tuple(nodes), returns=returns))
