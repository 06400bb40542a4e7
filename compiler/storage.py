"""A memory plan resolved: which bytes each value has, and during which steps they are needed.

`verify_plan` proves with these facts that nothing is overwritten too early, `plan_memory` chooses offsets by them, and
the poisoning run and the artifact find their bytes by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .errors import CompileError
from .ir import Graph, Node, Value
from .plan import MemoryPlan, PlannedGraph


@dataclass(frozen=True, slots=True)
class Storage:
    """Channels `channels` of the bytes that `root` was given; None for all of them."""

    root: Value
    channels: range | None = None

    def start(self, value: Value) -> int | None:
        """The byte of the root at which the value begins, if it reads its channels under another shape or layout.

        None if it is the root, or channels of it under the root's own shape.
        """
        if self.channels is None or matches_except_channels(value, self.root):
            return None
        return self.channels.start * (self.root.type.nbytes // self.root.type.bounds[1])


Storages = dict[Value, Storage]


def matches_except_channels(value: Value, root: Value) -> bool:
    """True if a value has the root's layout and all of its dimensions but that of the channels (axis 1)."""
    rest = [(v.type.rank, v.type.dims[:1], v.type.dims[2:], v.layout) for v in (value, root)]
    return value.type.rank > 1 and rest[0] == rest[1]


def has_contiguous_channels(root: Value) -> bool:
    """True if a range of channels is one range of bytes, which can then be read under another shape."""
    return root.type.rank > 1 and root.type.bounds[0] == 1 and root.physical_axes == sorted(root.physical_axes)


class LiveRange(NamedTuple):
    """The steps from the one that writes a value to the last that reads it; len(nodes) if the net returns it."""

    first: int
    last: int


LiveRanges = dict[Value, LiveRange]


def resolve_storage(planned: PlannedGraph) -> Storages:
    """Where each computed value lies. CompileError if a placement names what is not computed, or goes in a circle."""
    graph, plan = planned
    known: Storages = {}
    for node in graph.nodes:
        for value in node.results:
            resolve_value(value, node, graph, plan, known)
    return known


def resolve_value(value: Value, node: Node, graph: Graph, plan: MemoryPlan, known: Storages) -> None:
    """Follow aliases and subviews of a value down to its root, and note the storage of all that are met."""
    chain: list[Value] = []
    while value not in known:
        if value in chain:
            raise CompileError(f"the places of {', '.join(v.name for v in chain)} go in a circle", node.loc)
        chain.append(value)
        base = plan.base(value)
        if base is None:
            known[value] = Storage(value)
            break
        if base not in graph.producer:
            raise CompileError(f"{value.name} is placed by {base.name}, which this net does not compute", node.loc)
        value = base
    for v in reversed(chain):
        if v not in known:
            base = plan.base(v)
            assert base is not None
            known[v] = nested_storage(v, plan, known[base], node)


def nested_storage(value: Value, plan: MemoryPlan, base: Storage, node: Node) -> Storage:
    """The storage of a value that is an alias or a subview of another with storage `base`."""
    part = plan.subview(value)
    if part is None:
        return base
    start = (base.channels.start if base.channels else 0) + part.first
    stop = start + part.stop - part.first
    limit = base.channels.stop if base.channels else base.root.type.bounds[1] if base.root.type.rank > 1 else 0
    if not 0 <= part.first < part.stop or stop > limit:
        where = f"{value.name} lies in [{part.first}:{part.stop}] of {part.root.name}"
        raise CompileError(f"{where}, which ends before", node.loc)
    return Storage(base.root, range(start, stop))


def root_channels(value: Value, storages: Storages) -> range:
    """The channels of its root that a value takes."""
    storage = storages[value]
    root = storage.root.type
    return storage.channels or range(root.bounds[1] if root.rank > 1 else 1)


def live_ranges(graph: Graph) -> LiveRanges:
    """For each computed value the steps during which it is needed."""
    last: dict[Value, int] = {}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            last[value] = i
    end = len(graph.nodes)
    made = [(i, v) for i, node in enumerate(graph.nodes) for v in node.results]
    return {v: LiveRange(i, end if v in graph.output_set else last.get(v, i)) for i, v in made}


def reserved_ranges(storages: Storages, live: LiveRanges) -> LiveRanges:
    """For each root the steps from its first writer to its last reader, through whatever alias or subview."""
    spans: LiveRanges = {}
    for value, storage in storages.items():
        mine, root = live[value], storage.root
        span = spans.get(root, mine)
        spans[root] = LiveRange(min(span.first, mine.first), max(span.last, mine.last))
    return spans
