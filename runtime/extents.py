"""The bytes of the arena that a value takes, and which of a step's operands and results may share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from .plan import DTYPES, ArtifactError, Plan, Slot, Step

PARTITIONS = {"concat": "result", "slice": "operand"}  # by primitive, which side the values of the other side fill


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [start, stop) of the arena, and which channels of the tensor stored there, with its border."""

    start: int
    stop: int
    shape: tuple[int, ...]
    halo: tuple[int, int] | None
    channels: range

    def overlaps(self, other: Extent) -> bool:
        """True if both have an element in common, or may have one."""
        if self.stop <= other.start or other.stop <= self.start:
            return False
        same = (self.start, self.shape, self.halo) == (other.start, other.shape, other.halo)
        apart = self.channels.stop <= other.channels.start or other.channels.stop <= self.channels.start
        return not (same and apart)

    def covers_same(self, other: Extent) -> bool:
        """True if both are the same bytes, in place or as another shape."""
        return (self.start, self.stop) == (other.start, other.stop)


def is_computed(name: str, plan: Plan) -> bool:
    """True if the value has a place in the arena."""
    return name in plan.slots and plan.slots[name].at is not None


def extent_of(slot: Slot, whole: bool = False) -> Extent:
    """Where a computed value is; with `whole` the stored tensor that it is a part of.

    Channels that lie one behind the other, as for batch 1 in nchw, are bytes of their own.
    """
    assert slot.at is not None
    shape = slot.stored_shape
    total = shape[1] if len(shape) > 1 else 1
    first = slot.channels[0] if slot.channels else 0
    count = slot.bounds[1] if len(slot.dims) > 1 else 1
    if slot.channels and not whole and is_dense(slot):
        size = slot.nbytes // max(total, 1)
        start = slot.at + first * size
        return Extent(start, start + count * size, slot.bounds, None, range(count))
    channels = range(total) if whole else range(first, first + count)
    return Extent(slot.at, slot.at + slot.nbytes, shape, slot.halo, channels)


def is_dense(slot: Slot) -> bool:
    """True if no other channel lies between two elements of a channel range."""
    images, pixels = slot.bounds[0], prod(slot.bounds[2:])
    return slot.halo is None and images == 1 and (slot.layout == "nchw" or pixels == 1)


def check_aliases(step: Step, plan: Plan) -> None:
    """ArtifactError if a result shares memory with an operand other than in place, or as its part of it.

    A step writes a result while it reads its operands; torch refuses to when they overlap in part.
    """
    parts = parts_of(step, plan)
    for name in filter(lambda name: is_computed(name, plan), step.operands):
        read = extent_of(plan.slots[name])
        for result in step.results:
            written = extent_of(plan.slots[result])
            if written.overlaps(read) and not written.covers_same(read) and (name, result) not in parts:
                raise ArtifactError(
                    f"step {step.label!r} ({step.kind}) writes {result!r} over a part of {name!r}, which it reads"
                )


def parts_of(step: Step, plan: Plan) -> set[tuple[str, str]]:
    """The pairs of operand and result of a concat or slice of which one is exactly the other's part in memory."""
    if step.kind not in PARTITIONS:
        return set()
    whole, parts = step.operands[0], step.results
    if PARTITIONS[step.kind] == "result":
        whole, parts = step.results[0], step.operands
    if not is_computed(whole, plan):
        return set()
    start = extent_of(plan.slots[whole]).start
    found = zip(parts, offsets(parts, plan), strict=False)
    return {
        (part, whole) if whole in step.results else (whole, part)
        for part, offset in found
        if is_computed(part, plan) and extent_of(plan.slots[part]).start == start + offset
    }


def offsets(parts: Sequence[str], plan: Plan) -> list[int]:
    """Bytes before each part, if they are stored one behind the other."""

    def nbytes(name: str) -> int:
        weight = plan.weights.get(name)
        shape, dtype = (weight.shape, weight.dtype) if weight else (plan.slots[name].bounds, plan.slots[name].dtype)
        return prod(shape) * DTYPES[dtype].itemsize

    return list(accumulate(map(nbytes, parts), initial=0))[:-1]
