"""Places taken literally: which bytes each value has, and for how long they matter.

`verify` proves with these facts that nothing is overwritten too early, `plan_memory` chooses offsets by them, and
the poisoning run and the artifact find their bytes by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .errors import CompileError
from .ir import Constant, Graph, Node, Value


@dataclass(frozen=True, slots=True)
class Storage:
    """Channels `channels` of the bytes that `root` was given; None for all of them."""

    root: Value
    channels: range | None = None

    def start(self, value: Value) -> int | None:
        """The byte of the root at which its channels, under another shape or layout, begin as a value; else None."""
        if self.channels is None or matches_except_channels(value, self.root):
            return None
        return self.channels.start * (self.root.type.nbytes // self.root.type.bounds[1])


def matches_except_channels(value: Value, root: Value) -> bool:
    """Does a value have all dimensions of the root but that of the channels, and lie as the root does?"""
    rest = [(v.type.rank, v.type.dims[:1], v.type.dims[2:], v.layout) for v in (value, root)]
    return value.type.rank > 1 and rest[0] == rest[1]


def has_contiguous_channels(root: Value) -> bool:
    """Do channels that follow one another lie behind one another, so that they can be read under another shape?"""
    return root.type.rank > 1 and root.type.bounds[0] == 1 and root.physical_axes == sorted(root.physical_axes)


class LiveRange(NamedTuple):
    """The steps from the one that writes to the last that reads; len(nodes) if the net returns it."""

    first: int
    last: int


def resolve_storage(graph: Graph) -> dict[Value, Storage]:
    """Where each computed value lies. CompileError if a place names what is not there, or goes in a circle."""
    known: dict[Value, Storage] = {}
    for node in graph.nodes:
        for value in node.results:
            resolve_value(value, node, graph, known)
    return known


def alias_roots(graph: Graph) -> set[str]:
    """The names of values over which, or in which, others are placed."""
    places = [v.place for n in graph.nodes for v in n.results if v.place.is_placed]
    return {p.over or (p.within.root if p.within else "") for p in places} - {""}


def resolve_value(value: Value, node: Node, graph: Graph, known: dict[Value, Storage]) -> Storage:
    chain: list[Value] = []
    while value not in known:
        if value in chain:
            raise CompileError(f"the places of {', '.join(v.name for v in chain)} go in a circle", node.loc)
        chain.append(value)
        place = value.place
        name = place.over or (place.within.root if place.within else None)
        if name is None:
            known[value] = Storage(value)
            break
        under = graph.values.get(name)
        if under is None or isinstance(under, Constant) or under not in graph.producer:
            raise CompileError(f"{value.name} is placed by {name}, which this net does not compute", node.loc)
        value = under
    for v in reversed(chain):
        if v not in known:
            known[v] = nested_storage(v, known[alias_base(v, graph)], node)
    return known[chain[0] if chain else value]


def alias_base(value: Value, graph: Graph) -> Value:
    place = value.place
    return graph.values[place.over or place.within.root]  # type: ignore[union-attr]


def nested_storage(value: Value, under: Storage, node: Node) -> Storage:
    """The storage of a value that lies over another, or within it."""
    part = value.place.within
    if part is None:
        return under
    start = (under.channels.start if under.channels else 0) + part.first
    stop = start + part.stop - part.first
    limit = under.channels.stop if under.channels else under.root.type.bounds[1] if under.root.type.rank > 1 else 0
    if not 0 <= part.first < part.stop or stop > limit:
        where = f"{value.name} lies in [{part.first}:{part.stop}] of {part.root}"
        raise CompileError(f"{where}, which ends before", node.loc)
    return Storage(under.root, range(start, stop))


def live_ranges(graph: Graph) -> dict[Value, LiveRange]:
    """For each computed value the steps during which it is needed."""
    last: dict[Value, int] = {}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            last[value] = i
    end = len(graph.nodes)
    made = [(i, v) for i, node in enumerate(graph.nodes) for v in node.results]
    return {v: LiveRange(i, end if v in graph.output_set else last.get(v, i)) for i, v in made}


def reserved_ranges(graph: Graph, where: dict[Value, Storage], life: dict[Value, LiveRange]) -> dict[Value, LiveRange]:
    """For each root the steps from its first writer to its last reader, through whatever view."""
    spans: dict[Value, LiveRange] = {}
    for value, storage in where.items():
        mine, root = life[value], storage.root
        span = spans.get(root, mine)
        spans[root] = LiveRange(min(span.first, mine.first), max(span.last, mine.last))
    return spans
