"""Rewriting: read one graph and build another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from .errors import Loc
from .ir import Constant, Graph, Node, Value
from .op import Op
from .types import TensorType, type_of

Rule = Callable[[Node, "Writer"], "Value | tuple[Value, ...] | None"]


class Writer:
    """Builds a new graph from an old one. `writer[old]` is the value that replaces an old value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = self.old = graph
        self.nodes: list[Node] = []
        self.producer: dict[Value, Node] = {}
        self.replaced: dict[Value, Value] = {}

    def __getitem__(self, value: Value) -> Value:
        return self.replaced.get(value, value)

    def __setitem__(self, old: Value, new: Value) -> None:
        self.replaced[old] = new

    def add(self, node: Node) -> Node:
        """Add a node unchanged."""
        self.nodes.append(node)
        self.producer.update((v, node) for v in node.results)
        return node

    def emit(self, op: Op, *inputs: Value, name: str, loc: Loc | None = None, layout: str | None = None) -> Value:
        """Add a node with one result, whose type is inferred. ValueError if the operator refuses the operands."""
        (type,) = op.infer_types([v.type for v in inputs])
        return self.add(Node(op, inputs, (Value(name, type, layout),), loc)).output

    def copy(self, node: Node) -> Node:
        """Add the node with its operands replaced and its types inferred; the same object if no operand changed."""
        inputs = tuple(self[v] for v in node.inputs)
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return self.add(node)
        types = node.op.infer_types([v.type for v in inputs])
        results = tuple(v if v.type == t else replace(v, type=t) for v, t in zip(node.results, types, strict=True))
        for old, new in zip(node.results, results, strict=True):
            self[old] = new
        return self.add(Node(node.op, inputs, results, node.loc))

    def finish(self) -> Graph:
        """The new graph, without dead nodes. The pass driver verifies it."""
        returns = tuple((name, self[v]) for name, v in self.graph.returns)
        live = live_nodes(self.nodes, [v for _, v in returns])
        return replace(self.graph, nodes=live, returns=returns)


def live_nodes(nodes: list[Node], outputs: list[Value]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on."""
    live, kept = set(outputs), list[Node]()
    for node in reversed(nodes):
        if not live.isdisjoint(node.results):
            live.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def make_constant(name: str, data: Tensor) -> Constant:
    """A constant of the type of `data`."""
    return Constant(name, type_of(data), data=data.contiguous())


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Apply `rule` to each node in order. It returns the value or values that replace the results, or None."""
    writer = Writer(graph)
    for node in graph.nodes:
        made = rule(node, writer)
        if made is None:
            writer.copy(node)
            continue
        for old, new in zip(node.results, made if isinstance(made, tuple) else (made,), strict=True):
            writer[old] = new
    return writer.finish()


def retype(graph: Graph, shapes: Mapping[str, TensorType]) -> Graph:
    """The net for other input types, given by name; all others are inferred. ValueError if an operator refuses them."""
    writer = Writer(graph)
    inputs = tuple(replace(v, type=shapes.get(v.name, v.type)) for v in graph.inputs)
    for old, new in zip(graph.inputs, inputs, strict=True):
        writer[old] = new
    for node in graph.nodes:
        try:
            writer.copy(node)
        except ValueError as e:
            raise ValueError(f"{node.name} = {node.op.name}: {e}") from None
    writer.graph = replace(graph, inputs=inputs)
    return writer.finish()


class UniqueNames:
    """A set of names in use. `fresh` returns an unused one and adds it."""

    def __init__(self, taken: Graph | None = None) -> None:
        self.taken = set(taken.values) if taken else set[str]()

    def fresh(self, wanted: str) -> str:
        """`wanted`, or `wanted.2`, `wanted.3`, ... if it is in use."""
        name, i = wanted, 2
        while name in self.taken:
            name, i = f"{wanted}.{i}", i + 1
        self.taken.add(name)
        return name
