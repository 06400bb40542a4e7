"""The invariants of a memory plan: no byte is written while what stands there is still needed.

1. Every root lies inside the arena, aligned.
2. An alias has its operand's size and layout, and the operand dies there and is read at the same place only; or it is
   the operand's bytes in their order, which are contiguous.
3. A subview has its root's layout and all its other dimensions; or it is as large as those channels, and they are
   contiguous.
4. A node changes no channel of its result's root that another value still needs, save of the operand of an alias.
   It changes its result's channels, without those in which a concat's operand, or a slice's result, stands already.
5. Different roots, each reserved from its first writer to its last reader, share no byte.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from heapq import heappop, heappush

from .errors import CompileError
from .ir import Graph, Node, Value
from .plan import Alias, MemoryPlan, PlannedGraph, Subview
from .storage import (
    LiveRanges,
    Storages,
    has_contiguous_channels,
    live_ranges,
    matches_except_channels,
    reserved_ranges,
    resolve_storage,
    root_channels,
)

ALIGN = 64  # bytes: a cache line, and what vector loads and TMA ask for at most


def verify_plan(planned: PlannedGraph) -> None:
    """Raise CompileError on the first broken rule."""
    graph, plan = planned
    for value in plan.placements:
        if value not in graph.producer:
            raise CompileError(f"{graph.name}: {value.name} is not computed here: it cannot have a place")
    storages, live = resolve_storage(planned), live_ranges(graph)
    for value, placement in plan.placements.items():
        if isinstance(placement, Alias):
            verify_alias(graph, value, placement.operand, storages, live)
        if isinstance(placement, Subview):
            verify_subview(graph, value, placement, storages)
    verify_roots(planned, storages, live)
    verify_arena(planned, reserved_ranges(storages, live))


def verify_alias(graph: Graph, value: Value, operand: Value, storages: Storages, live: LiveRanges) -> None:
    """Rule 2."""
    node, where = graph.producer[value], f"{value.name} over {operand.name}"
    if operand not in node.inputs or operand not in graph.producer:
        raise fault(graph, node, f"{where}: that is no operand which this net computes")
    if live[operand].last > live[value].first:
        raise fault(graph, node, f"{where}: {operand.name} is still needed afterwards")
    if value.type.nbytes != operand.type.nbytes:
        raise fault(graph, node, f"{where}: {value.type} is not the size of {operand.type}")
    if node.can_alias_operand:
        if storages[operand].channels is not None and not has_contiguous_channels(storages[operand].root):
            raise fault(graph, node, f"{where}: channels of another value cannot be read under another shape")
        return
    if value.type != operand.type or value.layout != operand.layout:
        raise fault(graph, node, f"{where}: {describe(value)} does not lie like {describe(operand)}")
    if not all(node.op.pointwise_in(i) for i, v in enumerate(node.inputs) if v is operand):
        raise fault(graph, node, f"{where}: {node.op.name} reads {operand.name} at other places than it writes")


def verify_subview(graph: Graph, value: Value, part: Subview, storages: Storages) -> None:
    """Rule 3."""
    node, root, count = graph.producer[value], part.root, part.stop - part.first
    as_large = value.type.is_static and value.type.numel * root.type.bounds[1] == root.type.numel * count
    fits = matches_except_channels(value, root) or (has_contiguous_channels(root) and as_large)
    if value.type.dtype != root.type.dtype or not matches_except_channels(root, storages[root].root) or not fits:
        raise fault(graph, node, f"{value.name} in {root.name}: {describe(value)} is no part of {describe(root)}")
    if matches_except_channels(value, root) and value.type.dims[1] != count:
        raise fault(graph, node, f"{value.name} in {root.name}: {value.type} has not {count} channels")


def describe(value: Value) -> str:
    return f"{value.type}:{value.layout}" if value.layout else str(value.type)


def verify_roots(planned: PlannedGraph, storages: Storages, live: LiveRanges) -> None:
    """Rule 4, for each root by itself."""
    sharing: dict[Value, list[Value]] = defaultdict(list)
    for value, storage in storages.items():
        sharing[storage.root].append(value)
    for values in sharing.values():
        if len(values) > 1:
            verify_sharing(planned, sorted(values, key=lambda v: live[v].first), storages, live)


def verify_sharing(planned: PlannedGraph, values: list[Value], storages: Storages, live: LiveRanges) -> None:
    """Sweep over the values of one root, in the order in which they are made, with what is needed by its channels."""
    graph, plan = planned
    needed: list[tuple[int, int, int]] = []  # first channel, the one behind the last, number of the value; sorted
    ends: list[tuple[int, tuple[int, int, int]]] = []  # when each of them dies; a heap
    longest = 0
    for i, value in enumerate(values):
        while ends and ends[0][0] < live[value].first:
            del needed[bisect_left(needed, heappop(ends)[1])]
        for changed in written_channels(graph, value, storages) if needed else []:
            near = slice(bisect_left(needed, (changed.start - longest,)), bisect_left(needed, (changed.stop,)))
            for _, stop, number in needed[near]:
                other = values[number]
                if stop > changed.start and plan.alias(value) is not other:
                    node = graph.producer[value]
                    raise fault(graph, node, f"{value.name} is written over {other.name}, which is still needed")
        mine = root_channels(value, storages)
        insort(needed, (mine.start, mine.stop, i))
        heappush(ends, (live[value].last, (mine.start, mine.stop, i)))
        longest = max(longest, len(mine))


def written_channels(graph: Graph, value: Value, storages: Storages) -> list[range]:
    """The channels of its root that a node changes to make `value`: none where an operand stands there already.

    An operand that stands there in another layout, or under another shape, does not count.
    """
    node, mine, root = graph.producer[value], root_channels(value, storages), storages[value].root
    rest = [mine]
    for operand, parts in node.concat_ranges.items():
        if is_channels_of(operand, root, storages):
            its = root_channels(operand, storages)
            if any(shift(part, mine) == its for part in parts):
                rest = [left for r in rest for left in subtract(r, its) if left]
    if value in node.slice_ranges and is_channels_of(node.inputs[0], root, storages):
        whole = root_channels(node.inputs[0], storages)
        if matches_except_channels(value, root) and shift(node.slice_ranges[value], whole) == mine:
            rest = []
    return rest


def is_channels_of(value: Value, root: Value, storages: Storages) -> bool:
    """True if a value is channels of that root, under the root's own shape."""
    return value in storages and storages[value].root is root and matches_except_channels(value, root)


def subtract(r: range, hole: range) -> tuple[range, range]:
    return range(r.start, min(r.stop, hole.start)), range(max(r.start, hole.stop), r.stop)


def shift(part: range, whole: range) -> range:
    return range(whole.start + part.start, whole.start + part.stop)


def verify_arena(planned: PlannedGraph, spans: LiveRanges) -> None:
    """Rules 1 and 5, by sweeping over the steps with the busy bytes in order."""
    graph, plan = planned
    starts = {v: at for v in spans if (at := plan.offset(v)) is not None}
    for value, at in starts.items():
        verify_offset(graph, plan, value, at)
    if plan.arena is not None and (homeless := [v for v in spans if v not in starts]):
        raise fault(graph, graph.producer[homeless[0]], f"{homeless[0].name} has no place in the arena")
    events = [(spans[v].first, True, v) for v in starts] + [(spans[v].last + 1, False, v) for v in starts]
    busy: list[tuple[int, int, str]] = []
    for _, begins, value in sorted(events, key=lambda e: e[:2]):
        name, mine = value.name, (starts[value], starts[value] + value.type.nbytes, value.name)
        i = bisect_left(busy, mine)
        if not begins:
            del busy[i]
            continue
        for start, stop, other in (*busy[max(i - 1, 0) : i], *busy[i : i + 1]):
            if start < mine[1] and mine[0] < stop:
                raise fault(graph, graph.producer[value], f"{name} and {other} share bytes, and both are needed")
        insort(busy, mine)


def verify_offset(graph: Graph, plan: MemoryPlan, value: Value, at: int) -> None:
    """Rule 1 for one root."""
    if at < 0 or at % ALIGN:
        raise fault(graph, graph.producer[value], f"{value.name} at {at}: places are multiples of {ALIGN}")
    if plan.arena is not None and at + value.type.nbytes > plan.arena:
        raise fault(graph, graph.producer[value], f"{value.name} ends beyond the arena of {plan.arena} bytes")


def fault(graph: Graph, node: Node, message: str) -> CompileError:
    return CompileError(f"{graph.name}: {message}", node.loc)
