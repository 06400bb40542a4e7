"""The invariants of a memory plan: no byte is overwritten while a value stored there is live.

1. Every root is inside the arena, aligned.
2. An alias has its operand's type and layout, the operand's live range ends there, and the operator is pointwise in it;
   or the alias is a reinterpretation of the operand's bytes, which are contiguous.
3. A subview has its root's layout and dimensions except along the channels; or it has the size of those channels, and
   they are contiguous.
4. A node writes no channel of its result's root that holds another live value, except the operand of an alias.
   It writes the channels of its result, except those that already hold an operand of a concat or a result of a slice.
5. Different roots share no byte while both are reserved, each from its first writer to its last reader.
6. A root with a halo is static images with the channels innermost, and all values in it are channel ranges of it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from heapq import heappop, heappush

from .errors import CompileError
from .ir import Graph, Node, Value
from .plan import Alias, MemoryPlan, PlannedGraph, Subview, can_have_halo
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

ALIGN = 64  # bytes: a cache line, and the largest alignment that vector loads and TMA require


def verify_plan(planned: PlannedGraph) -> None:
    """Raise CompileError on the first broken rule."""
    graph, plan = planned
    for value in plan.placements:
        if value not in graph.producer:
            raise CompileError(f"{graph.name}: {value.name} is not computed by this net, so it cannot be placed")
    storages, live = resolve_storage(planned), live_ranges(graph)
    for value, placement in plan.placements.items():
        if isinstance(placement, Alias):
            verify_alias(graph, value, placement.operand, storages, live)
        if isinstance(placement, Subview):
            verify_subview(graph, value, placement, storages)
    verify_halos(planned, storages)
    verify_roots(planned, storages, live)
    verify_arena(planned, reserved_ranges(storages, live))


def verify_alias(graph: Graph, value: Value, operand: Value, storages: Storages, live: LiveRanges) -> None:
    """Rule 2."""
    node, where = graph.producer[value], f"{value.name} over {operand.name}"
    if operand not in node.inputs or operand not in graph.producer:
        raise fault(graph, node, f"{where}: {operand.name} is not a computed operand")
    if live[operand].last > live[value].first:
        raise fault(graph, node, f"{where}: {operand.name} is live after this node")
    if value.type.nbytes != operand.type.nbytes:
        raise fault(graph, node, f"{where}: {value.type} and {operand.type} differ in size")
    if node.can_alias_operand:
        if storages[operand].channels is not None and not has_contiguous_channels(storages[operand].root):
            raise fault(graph, node, f"{where}: the channels of {operand.name} are not contiguous")
        return
    if value.type != operand.type or value.layout != operand.layout:
        raise fault(graph, node, f"{where}: {describe(value)} and {describe(operand)} differ in type or layout")
    if not all(node.op.pointwise_in(i) for i, v in enumerate(node.inputs) if v is operand):
        raise fault(graph, node, f"{where}: {node.op.name} is not pointwise in {operand.name}")


def verify_subview(graph: Graph, value: Value, part: Subview, storages: Storages) -> None:
    """Rule 3."""
    node, root, count = graph.producer[value], part.root, part.stop - part.first
    same_size = value.type.is_static and value.type.numel * root.type.bounds[1] == root.type.numel * count
    fits = matches_except_channels(value, root) or (has_contiguous_channels(root) and same_size)
    if value.type.dtype != root.type.dtype or not matches_except_channels(root, storages[root].root) or not fits:
        raise fault(
            graph, node, f"{value.name} in {root.name}: {describe(value)} is not a channel range of {describe(root)}"
        )
    if matches_except_channels(value, root) and value.type.dims[1] != count:
        raise fault(graph, node, f"{value.name} in {root.name}: {value.type} does not have {count} channels")


def verify_halos(planned: PlannedGraph, storages: Storages) -> None:
    """Rule 6."""
    graph, plan = planned
    for root, halo in plan.halos.items():
        if root not in storages or storages[root].root is not root:
            raise CompileError(f"{graph.name}: {root.name} has a halo, and is an alias or a subview")
        if min(halo) < 0 or not can_have_halo(root):
            raise fault(
                graph, graph.producer[root], f"{describe(root)} {root.name} cannot have a halo of {tuple(halo)}"
            )
    for value, storage in storages.items():
        if storage.root in plan.halos and not matches_except_channels(value, storage.root):
            what = f"{value.name} is no channel range of {storage.root.name}, which has a halo"
            raise fault(graph, graph.producer[value], what)


def describe(value: Value) -> str:
    return f"{value.type}:{value.layout}" if value.layout else str(value.type)


def verify_roots(planned: PlannedGraph, storages: Storages, live: LiveRanges) -> None:
    """Rule 4, for each root."""
    sharing: dict[Value, list[Value]] = defaultdict(list)
    for value, storage in storages.items():
        sharing[storage.root].append(value)
    for values in sharing.values():
        if len(values) > 1:
            verify_sharing(planned, sorted(values, key=lambda v: live[v].first), storages, live)


def verify_sharing(planned: PlannedGraph, values: list[Value], storages: Storages, live: LiveRanges) -> None:
    """Rule 4 for one root: sweep over its values in order of definition, with the live ones sorted by channel."""
    graph, plan = planned
    occupied: list[tuple[int, int, int]] = []  # channel start, channel stop, index of the value; sorted
    ends: list[tuple[int, tuple[int, int, int]]] = []  # the end of each live range; a heap
    longest = 0
    for i, value in enumerate(values):
        while ends and ends[0][0] < live[value].first:
            del occupied[bisect_left(occupied, heappop(ends)[1])]
        for changed in written_channels(graph, value, storages) if occupied else []:
            overlap = slice(bisect_left(occupied, (changed.start - longest,)), bisect_left(occupied, (changed.stop,)))
            for _, stop, number in occupied[overlap]:
                other = values[number]
                if stop > changed.start and plan.alias(value) is not other:
                    node = graph.producer[value]
                    raise fault(graph, node, f"{value.name} overwrites {other.name}, which is still live")
        mine = root_channels(value, storages)
        insort(occupied, (mine.start, mine.stop, i))
        heappush(ends, (live[value].last, (mine.start, mine.stop, i)))
        longest = max(longest, len(mine))


def written_channels(graph: Graph, value: Value, storages: Storages) -> list[range]:
    """The channels of the root that a node writes to compute `value`, without those that hold its data already.

    Operands stored there in another layout or shape do not count as its data.
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
    """True if a value is a channel range of that root, in the root's own shape and layout."""
    return value in storages and storages[value].root is root and matches_except_channels(value, root)


def subtract(r: range, hole: range) -> tuple[range, range]:
    return range(r.start, min(r.stop, hole.start)), range(max(r.start, hole.stop), r.stop)


def shift(part: range, whole: range) -> range:
    return range(whole.start + part.start, whole.start + part.stop)


def verify_arena(planned: PlannedGraph, spans: LiveRanges) -> None:
    """Rules 1 and 5: sweep over the steps, with the occupied byte ranges sorted."""
    graph, plan = planned
    starts = {v: at for v in spans if (at := plan.offset(v)) is not None}
    for value, at in starts.items():
        verify_offset(graph, plan, value, at)
    if plan.arena is not None and (missing := [v for v in spans if v not in starts]):
        raise fault(graph, graph.producer[missing[0]], f"{missing[0].name} has no offset in the arena")
    events = [(spans[v].first, True, v) for v in starts] + [(spans[v].last + 1, False, v) for v in starts]
    busy: list[tuple[int, int, str]] = []
    for _, begins, value in sorted(events, key=lambda e: e[:2]):
        name, mine = value.name, (starts[value], starts[value] + plan.stored_bytes(value), value.name)
        i = bisect_left(busy, mine)
        if not begins:
            del busy[i]
            continue
        for start, stop, other in (*busy[max(i - 1, 0) : i], *busy[i : i + 1]):
            if start < mine[1] and mine[0] < stop:
                raise fault(graph, graph.producer[value], f"{name} and {other} share bytes while both are live")
        insort(busy, mine)


def verify_offset(graph: Graph, plan: MemoryPlan, value: Value, at: int) -> None:
    """Rule 1 for one root."""
    if at < 0 or at % ALIGN:
        raise fault(graph, graph.producer[value], f"{value.name} at {at}: offsets are multiples of {ALIGN}")
    if plan.arena is not None and at + plan.stored_bytes(value) > plan.arena:
        raise fault(graph, graph.producer[value], f"{value.name} ends beyond the arena of {plan.arena} bytes")


def fault(graph: Graph, node: Node, message: str) -> CompileError:
    return CompileError(f"{graph.name}: {message}", node.loc)
