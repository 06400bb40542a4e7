"""The invariants of memory: no byte is written while somebody still needs what stands there.

1. Every place lies inside the arena, aligned.
2. A value `over` an operand has its size and layout, and the operand dies there and is read at the same place only; or
   it is the operand's bytes in their order, which lie in a row.
3. A value `in` another has its layout and all its other dimensions; or it is as large as those channels, and they lie
   in a row.
4. A node changes no channel of its result's root that another value still needs, save of the operand named by `over`.
   It changes its result's channels, without those in which a concat's operand, or a slice's result, stands already.
5. Different roots, each reserved from its first writer to its last reader, share no byte.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from heapq import heappop, heappush

from .errors import CompileError
from .ir import Constant, Graph, Node, Value
from .storage import (
    LiveRange,
    Storage,
    has_contiguous_channels,
    live_ranges,
    matches_except_channels,
    reserved_ranges,
    resolve_storage,
)

ALIGN = 64  # bytes: a cache line, and what vector loads and TMA ask for at most


def verify_memory(graph: Graph) -> None:
    """Raise CompileError on the first broken rule."""
    where, life = resolve_storage(graph), live_ranges(graph)
    for node in graph.nodes:
        for value in node.results:
            if value.place.over is not None:
                verify_over(graph, node, value, where, life)
            if value.place.within is not None:
                verify_within(graph, node, value, where)
    verify_roots(graph, where, life)
    verify_arena(graph, reserved_ranges(graph, where, life))


def verify_over(
    graph: Graph, node: Node, value: Value, places: dict[Value, Storage], life: dict[Value, LiveRange]
) -> None:
    over = next((v for v in node.inputs if v.name == value.place.over), None)
    where = f"{value.name} over {value.place.over}"
    if over is None or isinstance(over, Constant) or over in graph.inputs:
        raise fault(graph, node, f"{where}: that is no operand which this net computes")
    if life[over].last > life[value].first:
        raise fault(graph, node, f"{where}: {over.name} is still needed afterwards")
    if value.type.nbytes != over.type.nbytes:
        raise fault(graph, node, f"{where}: {value.type} is not the size of {over.type}")
    if node.can_alias_operand:
        if places[over].channels is not None and not has_contiguous_channels(places[over].root):
            raise fault(graph, node, f"{where}: channels of another value cannot be read under another shape")
        return
    if value.type != over.type or value.layout != over.layout:
        raise fault(graph, node, f"{where}: {describe(value)} does not lie like {describe(over)}")
    if not all(node.op.pointwise_in(i) for i, v in enumerate(node.inputs) if v is over):
        raise fault(graph, node, f"{where}: {node.op.name} reads {over.name} at other places than it writes")


def verify_within(graph: Graph, node: Node, value: Value, where: dict[Value, Storage]) -> None:
    part = value.place.within
    assert part is not None
    root = graph.values[part.root]
    count = part.stop - part.first
    as_large = value.type.is_static and value.type.numel * root.type.bounds[1] == root.type.numel * count
    fits = matches_except_channels(value, root) or (has_contiguous_channels(root) and as_large)
    if value.type.dtype != root.type.dtype or not matches_except_channels(root, where[root].root) or not fits:
        raise fault(graph, node, f"{value.name} in {root.name}: {describe(value)} is no part of {describe(root)}")
    if matches_except_channels(value, root) and value.type.dims[1] != count:
        raise fault(graph, node, f"{value.name} in {root.name}: {value.type} has not {count} channels")


def describe(value: Value) -> str:
    return f"{value.type}:{value.layout}" if value.layout else str(value.type)


def verify_roots(graph: Graph, where: dict[Value, Storage], life: dict[Value, LiveRange]) -> None:
    """Rule 4, for each root by itself."""
    sharing: dict[Value, list[Value]] = defaultdict(list)
    for value, storage in where.items():
        sharing[storage.root].append(value)
    for values in sharing.values():
        if len(values) > 1:
            verify_sharing(graph, sorted(values, key=lambda v: life[v].first), where, life)


def verify_sharing(
    graph: Graph, values: list[Value], where: dict[Value, Storage], life: dict[Value, LiveRange]
) -> None:
    """Sweep over the values of one root, in the order in which they are made, with what is needed by its channels."""
    needed: list[tuple[int, int, int]] = []  # first channel, the one behind the last, number of the value; sorted
    ends: list[tuple[int, tuple[int, int, int]]] = []  # when each of them dies; a heap
    longest = 0
    for i, value in enumerate(values):
        while ends and ends[0][0] < life[value].first:
            del needed[bisect_left(needed, heappop(ends)[1])]
        for changed in written_channels(graph, value, where) if needed else []:
            near = slice(bisect_left(needed, (changed.start - longest,)), bisect_left(needed, (changed.stop,)))
            for _, stop, number in needed[near]:
                other = values[number]
                if stop > changed.start and value.place.over != other.name:
                    node = graph.producer[value]
                    raise fault(graph, node, f"{value.name} is written over {other.name}, which is still needed")
        mine = root_channels(value, where)
        insort(needed, (mine.start, mine.stop, i))
        heappush(ends, (life[value].last, (mine.start, mine.stop, i)))
        longest = max(longest, len(mine))


def written_channels(graph: Graph, value: Value, where: dict[Value, Storage]) -> list[range]:
    """The channels of its root that a node changes to make `value`: none where an operand stands there already.

    What stands there in another layout is not it.
    """
    node, mine, root = graph.producer[value], root_channels(value, where), where[value].root
    rest = [mine]
    for operand, parts in node.concat_ranges.items():
        if operand in where and where[operand].root is root and matches_except_channels(operand, root):
            its = root_channels(operand, where)
            if any(shift(part, mine) == its for part in parts):
                rest = [piece for r in rest for piece in subtract(r, its) if piece]
    pieces = (
        value in node.slice_ranges
        and node.inputs[0] in where
        and matches_except_channels(node.inputs[0], root)
        and matches_except_channels(value, root)
    )
    if pieces and where[node.inputs[0]].root is root:
        whole = root_channels(node.inputs[0], where)
        rest = [] if shift(node.slice_ranges[value], whole) == mine else rest
    return rest


def subtract(r: range, hole: range) -> tuple[range, range]:
    return range(r.start, min(r.stop, hole.start)), range(max(r.start, hole.stop), r.stop)


def shift(part: range, whole: range) -> range:
    return range(whole.start + part.start, whole.start + part.stop)


def root_channels(value: Value, where: dict[Value, Storage]) -> range:
    """The channels of its root that a value takes."""
    storage = where[value]
    root = storage.root.type
    return storage.channels or range(root.bounds[1] if root.rank > 1 else 1)


def verify_arena(graph: Graph, spans: dict[Value, LiveRange]) -> None:
    """Rules 1 and 5, by sweeping over the steps with the busy bytes in order."""
    placed = {v: span for v, span in spans.items() if v.place.at is not None}
    for value in placed:
        at = value.place.at
        assert at is not None
        if at < 0 or at % ALIGN:
            raise fault(graph, graph.producer[value], f"{value.name} at {at}: places are multiples of {ALIGN}")
        if graph.arena is not None and at + value.type.nbytes > graph.arena:
            raise fault(graph, graph.producer[value], f"{value.name} ends beyond the arena of {graph.arena} bytes")
    if graph.arena is not None:
        for value in spans:
            if value not in placed:
                raise fault(graph, graph.producer[value], f"{value.name} has no place in the arena")
    starts = [(span.first, True, v) for v, span in placed.items()]
    ends = [(span.last + 1, False, v) for v, span in placed.items()]
    busy: list[tuple[int, int, str]] = []
    for _, begins, value in sorted(starts + ends, key=lambda e: e[:2]):
        assert value.place.at is not None
        name, mine = value.name, (value.place.at, value.place.at + value.type.nbytes, value.name)
        i = bisect_left(busy, mine)
        if not begins:
            del busy[i]
            continue
        for start, stop, other in (*busy[max(i - 1, 0) : i], *busy[i : i + 1]):
            if start < mine[1] and mine[0] < stop:
                raise fault(graph, graph.producer[value], f"{name} and {other} share bytes, and both are needed")
        insort(busy, mine)


def fault(graph: Graph, node: Node, message: str) -> CompileError:
    return CompileError(f"{graph.name}: {message}", node.loc)
