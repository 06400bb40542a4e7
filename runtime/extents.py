"""The bytes of the arena that a value takes, and which of a step's operands and results may share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

from .plan import ArtifactError, Plan, Shape, Slot, Step


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [start, stop) of the arena, and which channels of the tensor stored there, with its border.

    `layout` is "" where the order of the axes makes no difference.
    """

    start: int
    stop: int
    shape: tuple[int, ...]
    halo: tuple[int, int] | None
    channels: range
    layout: str = ""

    def overlaps(self, other: Extent) -> bool:
        """True if both have an element in common, or may have one."""
        if self.stop <= other.start or other.stop <= self.start:
            return False
        same = replace(self, channels=other.channels) == other
        apart = self.channels.stop <= other.channels.start or other.channels.stop <= self.channels.start
        return not (same and apart)

    def is_same(self, other: Extent) -> bool:
        """True if both are the same elements, perhaps as another shape."""
        whole = all(extent.channels == channels_of(extent.shape) for extent in (self, other))
        return self == other or (whole and (self.start, self.stop) == (other.start, other.stop))


def is_computed(name: str, plan: Plan) -> bool:
    """True if the value has a place in the arena."""
    return name in plan.slots and plan.slots[name].at is not None


def extent_of(slot: Slot, whole: bool = False) -> Extent:
    """Where a computed value is; with `whole` the stored tensor that it is a part of.

    Channels that lie one behind the other, as for batch 1 in nchw, are bytes of their own.
    """
    assert slot.at is not None
    shape = slot.stored_shape
    total = len(channels_of(shape))
    first = slot.channels[0] if slot.channels else 0
    count = len(channels_of(slot.bounds))
    if slot.channels and not whole and is_dense(slot):
        size = slot.nbytes // max(total, 1)
        start = slot.at + first * size
        return Extent(start, start + count * size, slot.bounds, None, range(count))
    channels = range(total) if whole else range(first, first + count)
    layout = slot.layout if prod(shape[2:]) > 1 else ""
    return Extent(slot.at, slot.at + slot.nbytes, shape, slot.halo, channels, layout)


def is_dense(slot: Slot) -> bool:
    """True if no other channel lies between two elements of a channel range."""
    images, pixels = slot.bounds[0], prod(slot.bounds[2:])
    return slot.halo is None and images == 1 and (slot.layout == "nchw" or pixels == 1)


def check_aliases(step: Step, plan: Plan) -> None:
    """ArtifactError if a step writes over a part of what it reads, other than in place.

    Parts of a concat's result that an operand is in already, and results of a slice that are their part of the operand,
    are not written. torch refuses to copy between tensors that overlap in part.
    """
    reads = {name: extent_of(plan.slots[name]) for name in step.operands if is_computed(name, plan)}
    for name, written in written_extents(step, plan):
        for operand, read in reads.items():
            if written.overlaps(read) and not written.is_same(read):
                raise ArtifactError(
                    f"step {step.label!r} ({step.kind}) writes {name!r} over a part of {operand!r}, which it reads"
                )


def written_extents(step: Step, plan: Plan) -> list[tuple[str, Extent]]:
    """The results with the bytes of each that the step writes."""
    if step.kind == "concat":
        whole, axis = step.results[0], step.payload.get("axis", 1)
        return [(whole, part) for part, is_there in divide_value(plan, whole, axis, step.operands) if not is_there]
    found = [(name, extent_of(plan.slots[name])) for name in step.results]
    if step.kind == "slice" and is_computed(whole := step.operands[0], plan):
        parts = divide_value(plan, whole, step.payload.get("axis", 1), step.results)
        return [pair for pair, (_, is_there) in zip(found, parts, strict=True) if not is_there]
    return found


def divide_value(plan: Plan, whole: str, axis: int, parts: Sequence[str]) -> list[tuple[Extent, bool]]:
    """A computed value divided along an axis: where it has each part, and if the value of that name is there."""
    extents = split_extent(plan.slots[whole], axis, [shape_of(name, plan) for name in parts])
    return [
        (extent, is_computed(name, plan) and extent_of(plan.slots[name]).is_same(extent))
        for name, extent in zip(parts, extents, strict=True)
    ]


def split_extent(slot: Slot, axis: int, shapes: Sequence[Shape]) -> list[Extent]:
    """A value's extent split along an axis into parts of these shapes; the whole for each if they are interleaved."""
    whole, axis = extent_of(slot), axis % max(len(slot.dims), 1)
    sizes = [shape[axis] if axis < len(shape) else 0 for shape in shapes]
    stops = list(accumulate(sizes))
    if slot.halo is None and prod(slot.bounds[:axis]) == 1 and (slot.layout == "nchw" or prod(slot.bounds[2:]) == 1):
        step = (whole.stop - whole.start) // max(slot.bounds[axis], 1)
        return [
            Extent(whole.start + (stop - n) * step, whole.start + stop * step, shape, None, channels_of(shape))
            for n, stop, shape in zip(sizes, stops, shapes, strict=True)
        ]
    if axis != 1:
        return [whole] * len(shapes)
    first = whole.channels.start
    return [replace(whole, channels=range(first + s - n, first + s)) for n, s in zip(sizes, stops, strict=True)]


def channels_of(shape: Shape) -> range:
    return range(shape[1] if len(shape) > 1 else 1)


def shape_of(name: str, plan: Plan) -> Shape:
    weight = plan.weights.get(name)
    return weight.shape if weight else plan.slots[name].bounds
