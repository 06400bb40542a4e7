"""Assign each value without an alias or subview an offset in one arena.

    c = conv(x, w)            c = conv(x, w) at 0
    y = relu(c) over c   =>   y = relu(c) over c
    z = conv(y, v)            z = conv(y, v) at 4096

Values are placed largest first, each at the lowest offset that is free during its live range (greedy by size: Pisarchyk
and Lee 2020). The lower bound of any plan is the peak of live bytes over all steps. If the first plan exceeds it, other
orders are tried, and then repeatedly the last order with the topmost value moved to the front; the smallest plan wins.
Left alone: aliases and subviews. Offsets that a plan has already are assigned anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ..compiler.ir import Graph, Value
from ..compiler.memory import ALIGN
from ..compiler.plan import MemoryPlan, Offset, PlannedGraph
from ..compiler.storage import LiveRange, live_ranges, reserved_ranges, resolve_storage
from .context import Context

Order = Callable[[Value], tuple[int, ...]]
EFFORT = 20_000  # values placed in all attempts together: under a second for any net


def plan_memory(graph: Graph, plan: MemoryPlan, context: Context) -> MemoryPlan:
    spans = root_live_ranges(PlannedGraph(graph, plan))
    sizes = root_sizes(plan, spans)
    least = lower_bound(spans, sizes)
    best, size = pack(spans, sizes, least)
    if size > least:
        context.declined(graph.nodes[-1], f"the arena is {size} bytes, {size - least} above the bound of this schedule")
    kept = {v: p for v, p in plan.placements.items() if not isinstance(p, Offset)}
    return MemoryPlan({**kept, **{v: Offset(at) for v, at in best.items()}}, size, plan.halos)


def pack(spans: dict[Value, LiveRange], sizes: Mapping[Value, int], least: int) -> tuple[dict[Value, int], int]:
    """The smallest plan found, as offsets in bytes, and its size in bytes. Stops early at `least`."""
    if not spans:
        return {}, 0
    orders: list[Order] = [
        lambda v: (-sizes[v],),
        lambda v: (-sizes[v] * (spans[v].last - spans[v].first + 1),),
        lambda v: (spans[v].last - spans[v].first, -sizes[v]),
        lambda v: (spans[v].first,),
    ]
    waiting = deque(sorted(spans, key=lambda v: (*order(v), spans[v].first)) for order in orders)
    best, size = dict[Value, int](), -1
    for _ in range(len(orders) + EFFORT // len(spans)):
        order = waiting.popleft()
        found = assign_offsets(spans, sizes, order)
        top = max(found, key=lambda v: found[v] + sizes[v])
        total = found[top] + sizes[top]
        waiting = waiting or deque([[top, *(v for v in order if v is not top)]])  # the topmost value is placed first
        if size < 0 or total < size:
            best, size = found, total
        if size == least:
            break
    return best, size


def arena_bound(planned: PlannedGraph) -> int:
    """The peak of live bytes over all steps: no arena for this schedule is smaller."""
    spans = root_live_ranges(planned)
    return lower_bound(spans, root_sizes(planned.plan, spans))


def root_sizes(plan: MemoryPlan, roots: Iterable[Value]) -> dict[Value, int]:
    """The bytes of each root, its border included, rounded up to the alignment."""
    return {v: -(-plan.stored_bytes(v) // ALIGN) * ALIGN for v in roots}


def root_live_ranges(planned: PlannedGraph) -> dict[Value, LiveRange]:
    """The steps during which each root, a value with bytes of its own, is reserved."""
    return reserved_ranges(resolve_storage(planned), live_ranges(planned.graph))


def lower_bound(spans: dict[Value, LiveRange], sizes: Mapping[Value, int]) -> int:
    """The peak of live bytes over all steps: no plan of this schedule is smaller."""
    steps = max((s.last for s in spans.values()), default=0) + 2
    change = np.zeros(steps, dtype=np.int64)
    for value, span in spans.items():
        change[span.first] += sizes[value]
        change[span.last + 1] -= sizes[value]
    return int(change.cumsum().max(initial=0))


def assign_offsets(
    spans: dict[Value, LiveRange], sizes: Mapping[Value, int], order: Sequence[Value]
) -> dict[Value, int]:
    """First fit in that order: each value at the lowest offset free during its live range. Arrays sorted by offset."""
    count = len(order)
    first, last = np.empty(count, np.int64), np.empty(count, np.int64)
    start, stop = np.empty(count, np.int64), np.empty(count, np.int64)
    offsets: dict[Value, int] = {}
    for used, value in enumerate(order):
        span, size = spans[value], sizes[value]
        overlapping = np.flatnonzero((first[:used] <= span.last) & (last[:used] >= span.first))
        ends = np.maximum.accumulate(stop[overlapping], out=np.empty(len(overlapping), np.int64))
        before = np.concatenate(([0], ends))  # the end of the occupied bytes before each overlapping value
        gaps = np.flatnonzero(start[overlapping] - before[:-1] >= size)
        at = int(before[gaps[0]] if len(gaps) else before[-1])
        offsets[value] = at
        i = int(np.searchsorted(start[:used], at))
        for row, number in ((first, span.first), (last, span.last), (start, at), (stop, at + size)):
            row[i + 1 : used + 1] = row[i:used]
            row[i] = number
    return offsets
