"""Determines from the slots which steps may run in parallel, and which have to clear the border of a storage."""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import Plan, Slot, Step


def first_writers(plan: Plan) -> dict[int, tuple[Slot, ...]]:
    """By number of a step the storages with a border whose border it has to clear.

    It is clear once a step has cleared it, until a step writes to these bytes as to another storage.
    """
    clear, found = dict[Extent, None](), dict[int, tuple[Slot, ...]]()
    for i, step in enumerate(plan.steps):
        for name in step.results:
            slot = plan.slots[name]
            whole = extent_of(slot, whole=True)
            for other in [e for e in clear if e != whole and e.overlaps(whole)]:
                del clear[other]
            if slot.halo is not None and whole not in clear:
                clear[whole] = None
                found[i] = (*found.get(i, ()), slot)
    return found


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
        before = self.start
        if clash:
            self.start, self.read, self.written = number, [], []
        self.read += read
        self.written += written
        return before if clash else -1


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [start, stop) of the arena, and which channels of the tensor stored there, with its border."""

    start: int
    stop: int
    shape: tuple[int, ...]
    halo: tuple[int, int] | None
    channels: range

    def overlaps(self, other: Extent) -> bool:
        if self.stop <= other.start or other.stop <= self.start:
            return False
        same = (self.start, self.shape, self.halo) == (other.start, other.shape, other.halo)
        apart = self.channels.stop <= other.channels.start or other.channels.stop <= self.channels.start
        return not (same and apart)


def is_computed(name: str, plan: Plan) -> bool:
    return name in plan.slots and plan.slots[name].at is not None


def extent_of(slot: Slot, whole: bool = False) -> Extent:
    assert slot.at is not None
    shape = slot.stored_shape
    total = shape[1] if len(shape) > 1 else 1
    first = slot.channels[0] if slot.channels else 0
    count = slot.bounds[1] if len(slot.dims) > 1 else 1
    channels = range(total) if whole else range(first, first + count)
    return Extent(slot.at, slot.at + slot.nbytes, shape, slot.halo, channels)
