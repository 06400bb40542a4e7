"""A memory plan resolved: the storage of each value, and the live ranges of values and roots.

Used by `verify_plan` to prove a plan, by `plan_memory` to assign offsets, and by the poisoned run and the artifact to
locate values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .errors import CompileError
from .ir import Graph, Node, Value
from .plan import MemoryPlan, PlannedGraph


@dataclass(frozen=True, slots=True)
class Storage:
    """The range `channels` of the storage of `root`; None for all of it. A root has bytes of its own."""

    root: Value
    channels: range | None = None

    def start(self, value: Value) -> int | None:
        """The byte offset of the value in its root, if it has another shape or layout than the root's channels.

        None if it is the whole root, or a channel range in the root's own shape and layout.
        """
        if self.channels is None or matches_except_channels(value, self.root):
            return None
        return self.channels.start * (self.root.type.nbytes // self.root.type.bounds[1])


Storages = dict[Value, Storage]


def matches_except_channels(value: Value, root: Value) -> bool:
    """True if a value has the root's layout, and its dimensions except along the channels (axis 1)."""
    rest = [(v.type.rank, v.type.dims[:1], v.type.dims[2:], v.layout) for v in (value, root)]
    return value.type.rank > 1 and rest[0] == rest[1]


def has_contiguous_channels(root: Value) -> bool:
    """True if a range of channels is one range of bytes, so that it can be read in another shape; without a border."""
    return root.type.rank > 1 and root.type.bounds[0] == 1 and root.physical_axes == sorted(root.physical_axes)


class LiveRange(NamedTuple):
    """The steps from a value's definition to its last use, both included; `last` is len(nodes) for outputs."""

    first: int
    last: int


LiveRanges = dict[Value, LiveRange]


def resolve_storage(planned: PlannedGraph) -> Storages:
    """The storage of each computed value. CompileError if a placement refers to an input or constant, or to itself."""
    graph, plan = planned
    known: Storages = {}
    for node in graph.nodes:
        for value in node.results:
            resolve_value(value, node, graph, plan, known)
    return known


def resolve_value(value: Value, node: Node, graph: Graph, plan: MemoryPlan, known: Storages) -> None:
    """Follow aliases and subviews of a value to its root, and add the storage of all values on the way to `known`."""
    chain: list[Value] = []
    while value not in known:
        if value in chain:
            raise CompileError(f"the placements of {', '.join(v.name for v in chain)} form a cycle", node.loc)
        chain.append(value)
        base = plan.base(value)
        if base is None:
            known[value] = Storage(value)
            break
        if base not in graph.producer:
            raise CompileError(f"{value.name} is placed in {base.name}, which this net does not compute", node.loc)
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
        where = f"{value.name} in {part.root.name}[{part.first}:{part.stop}]"
        raise CompileError(f"{where}: {part.root.name} has no such channels", node.loc)
    return Storage(base.root, range(start, stop))


def root_channels(value: Value, storages: Storages) -> range:
    """The channel range of its root that a value occupies."""
    storage = storages[value]
    root = storage.root.type
    return storage.channels or range(root.bounds[1] if root.rank > 1 else 1)


def live_ranges(graph: Graph) -> LiveRanges:
    """The live range of each computed value."""
    last: dict[Value, int] = {}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            last[value] = i
    end = len(graph.nodes)
    made = [(i, v) for i, node in enumerate(graph.nodes) for v in node.results]
    return {v: LiveRange(i, end if v in graph.output_set else last.get(v, i)) for i, v in made}


def reserved_ranges(storages: Storages, live: LiveRanges) -> LiveRanges:
    """The live range of each root: from its first writer to its last reader, aliases and subviews included."""
    spans: LiveRanges = {}
    for value, storage in storages.items():
        mine, root = live[value], storage.root
        span = spans.get(root, mine)
        spans[root] = LiveRange(min(span.first, mine.first), max(span.last, mine.last))
    return spans
