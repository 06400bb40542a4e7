"""Determines from the slots which steps may run in parallel, and which have to clear the border of a storage."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from ..extents import Extent, extent_of, is_computed
from ..plan import Plan, Slot, Step


def first_writers(plan: Plan) -> dict[int, tuple[Slot, ...]]:
    """By number of a step the storages with a border whose border it has to clear.

    It is clear once a step has cleared it, until a step writes to these bytes as to another storage.
    """
    clear, found = list[Extent](), dict[int, tuple[Slot, ...]]()  # none overlaps another; in the order of the arena
    for i, step in enumerate(plan.steps):
        for name in step.results:
            slot = plan.slots[name]
            whole = extent_of(slot, whole=True)
            first = bisect_right(clear, whole.start, key=lambda extent: extent.stop)
            stop = bisect_left(clear, whole.stop, key=lambda extent: extent.start)
            is_clear = whole in clear[first:stop]
            clear[first:stop] = [whole] if slot.halo is not None else []
            if slot.halo is not None and not is_clear:
                found[i] = (*found.get(i, ()), slot)
    return found


MOST_TOGETHER = 256  # steps of a group: each is compared with all others


class StepGroup:
    """Steps that may run in parallel: none reads or writes what another one writes."""

    def __init__(self, plan: Plan, start: int = 0) -> None:
        self.plan, self.start = plan, start
        self.read: list[Extent] = []
        self.written: list[Extent] = []

    def enter(self, step: Step, number: int, clears_border: bool) -> int:
        """Add C step `number`. The first of the steps that have to be done before it, or -1 if it joins the others."""
        read = [extent_of(self.plan.slots[n]) for n in step.operands if is_computed(n, self.plan)]
        written = [extent_of(self.plan.slots[n], whole=clears_border) for n in step.results]
        clash = any(a.overlaps(b) for a in self.written for b in (*read, *written))
        clash = clash or any(a.overlaps(b) for a in self.read for b in written)
        before, is_full = self.start, len(self.written) >= MOST_TOGETHER
        if clash or is_full:
            self.start, self.read, self.written = number, [], []
        self.read += read
        self.written += written
        return before if clash or is_full else -1
