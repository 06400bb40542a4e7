"""Read one graph, write another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from .errors import CompileError, Loc
from .ir import UNPLACED, Constant, Graph, Node, Place, Value
from .op import Op
from .storage import has_contiguous_channels
from .types import TensorType, type_of
from .verify import verify

Rule = Callable[[Node, "Writer"], "Value | tuple[Value, ...] | None"]


class Writer:
    """The new graph, as it grows beside the one that is read. `writer[value]` is the new value for an old one."""

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
        self.nodes.append(node)
        self.producer.update((v, node) for v in node.results)
        return node

    def emit(self, op: Op, *inputs: Value, name: str, loc: Loc | None = None, place: Place = UNPLACED) -> Value:
        """Write one node with one result. Its type follows from its operands."""
        (type,) = op.infer_types([v.type for v in inputs])
        return self.add(Node(op, inputs, (Value(name, type, place),), loc)).output

    def copy(self, node: Node) -> Node:
        """The node as it was, places and all, reading the new values; the very same node if they are the old ones."""
        inputs = tuple(self[v] for v in node.inputs)
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return self.add(node)
        types = node.op.infer_types([v.type for v in inputs])
        results = tuple(v if v.type == t else replace(v, type=t) for v, t in zip(node.results, types, strict=True))
        for old, new in zip(node.results, results, strict=True):
            self[old] = new
        return self.add(Node(node.op, inputs, results, node.loc))

    def finish(self) -> Graph:
        """The graph of all that the outputs still need, verified."""
        returns = tuple((name, self[v]) for name, v in self.graph.returns)
        made = replace(self.graph, nodes=live_nodes(self.nodes, [v for _, v in returns]), returns=returns)
        kept = without_stale_places(made, self.old)
        try:
            return verify(kept)
        except CompileError:  # places of the old graph that the new one does not bear; or else it is another mistake
            bare = without_places(kept, self.old)
            if bare is kept:
                raise
            return verify(bare)


def without_stale_places(graph: Graph, old: Graph) -> Graph:
    """The graph without those places of the old one that mean nothing now; later passes find new ones.

    Offsets are a fact about a whole net: other values, or other sizes, and all are forgotten. A value stays over an
    operand that it still reads, and in a value that is still there, if both lie alike.
    """
    before, now, inherited = computed_values(old), computed_values(graph), inherited_placement(old)
    if old.arena is None and not any(v.place.is_placed for v in before.values()):
        return graph
    replanned = {name: v.type for name, v in before.items()} != {name: v.type for name, v in now.items()}

    def gone(value: Value, node: Node) -> bool:
        return inherited(value) and (replanned if value.place.at is not None else is_stale(value, node, now))

    return forget_places(graph, gone, None if replanned else graph.arena)


def without_places(graph: Graph, old: Graph) -> Graph:
    """The graph without any place that the old one had decided: the same graph if there is none."""
    inherited = inherited_placement(old)
    return forget_places(graph, lambda value, node: inherited(value), None)


def computed_values(graph: Graph) -> dict[str, Value]:
    return {v.name: v for n in graph.nodes for v in n.results}


def inherited_placement(old: Graph) -> Callable[[Value], bool]:
    """Has a value the place of one of the old graph? What a pass has placed itself is for `verify` to judge."""
    before = computed_values(old)
    copied = {id(v.place) for v in before.values()}

    def inherited(value: Value) -> bool:
        known = before.get(value.name)
        same = known is not None and replace(known.place, layout=value.layout) == value.place
        return value.place.is_placed and (same or id(value.place) in copied)

    return inherited


def forget_places(graph: Graph, which: Callable[[Value, Node], bool], arena: int | None) -> Graph:
    """The graph without the places of those values, and with that arena: the same graph if nothing changes."""
    now, nodes = dict[Value, Value](), list[Node]()
    for node in graph.nodes:
        now.update((v, replace(v, place=Place(v.layout))) for v in node.results if which(v, node))
        inputs, results = (tuple(now.get(v, v) for v in side) for side in (node.inputs, node.results))
        nodes.append(Node(node.op, inputs, results, node.loc))
    if not now and arena == graph.arena:
        return graph
    returns = tuple((name, now.get(v, v)) for name, v in graph.returns)
    return replace(graph, nodes=tuple(nodes), returns=returns, arena=arena)


def is_stale(value: Value, node: Node, now: Mapping[str, Value]) -> bool:
    """Does the place name what is no longer there, or lies otherwise?"""
    if (part := value.place.within) is not None:
        root = now.get(part.root)
        return root is None or (root.layout != value.layout and not has_contiguous_channels(root))
    under = next((v for v in node.inputs if v.name == value.place.over), None)
    if value.place.over is None:
        return False
    return under is None or not (node.can_alias_operand or under.layout == value.layout)


def eliminate_dead_code(graph: Graph) -> Graph:
    """The graph without nodes that no output needs: the same graph if there is none."""
    if len(live_nodes(list(graph.nodes), list(graph.outputs))) == len(graph.nodes):
        return graph
    writer = Writer(graph)
    for node in graph.nodes:
        writer.add(node)
    return writer.finish()


def live_nodes(nodes: list[Node], outputs: list[Value]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on."""
    live, kept = set(outputs), list[Node]()
    for node in reversed(nodes):
        if not live.isdisjoint(node.results):
            live.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def make_constant(name: str, data: Tensor) -> Constant:
    return Constant(name, type_of(data), data=data.contiguous())


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Offer each node to `rule`, in order; it answers with what stands in its place, or None to keep it."""
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
    """The same net for other input types: everything after follows. ValueError names the node that cannot."""
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
    """Names that are taken; `fresh` gives a free one."""

    def __init__(self, taken: Graph | None = None) -> None:
        self.taken = set(taken.values) if taken else set[str]()

    def fresh(self, wanted: str) -> str:
        name, i = wanted, 2
        while name in self.taken:
            name, i = f"{wanted}.{i}", i + 1
        self.taken.add(name)
        return name
