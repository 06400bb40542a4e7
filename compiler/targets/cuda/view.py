"""A tensor as a kernel sees it: where each axis steps to, and which axes can be run over as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from ....runtime.artifact import DTYPES, Slot, Weight
from ...errors import Unsupported

MAX_ELEMENTS = 1 << 31  # elements: places within a picture, and counts of them, are 32-bit numbers


@dataclass(frozen=True, slots=True)
class View:
    """Logical shape, and elements from one index to the next along each axis.

    `at`: the byte of the arena at which it begins; None for inputs and weights, which begin at a multiple of 16.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    at: int | None = None

    @property
    def is_aligned(self) -> bool:
        return (self.at or 0) % 16 == 0

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        return DTYPES[self.dtype].itemsize

    def merged_stride(self, axes: Sequence[int]) -> int | None:
        """The stride of these axes, outermost first, run over as one; None if they cannot be. 0 for none at all."""
        long = [a for a in axes if self.shape[a] != 1] or list(axes[-1:])
        for outer, inner in pairwise(long):
            if self.strides[outer] != self.strides[inner] * self.shape[inner]:
                return None
        return self.strides[long[-1]] if long else 0

    def slice_axis(self, axis: int, start: int, stop: int) -> View:
        """The indices from `start` to before `stop` along an axis."""
        at = None if self.at is None else self.at + start * self.strides[axis] * self.itemsize
        return View(self.dtype, (*self.shape[:axis], stop - start, *self.shape[axis + 1 :]), self.strides, at)

    def is_same_view(self, other: View) -> bool:
        """True if the two are the same bytes, read in the same order."""
        steps = zip(self.shape, self.strides, other.strides, strict=True)
        return self.at is not None and self.at == other.at and all(s == t for n, s, t in steps if n != 1)

    def extent(self, axes: Sequence[int]) -> int:
        return prod(self.shape[a] for a in axes)


def contiguous(dtype: str, shape: tuple[int, ...], *, innermost: int | None = None) -> View:
    """A tensor of its own, in the order of its axes; `innermost`, if given, comes last."""
    return View(dtype, shape, strides(shape, innermost))


def strides(shape: Sequence[int], innermost: int | None = None) -> tuple[int, ...]:
    order = [a for a in range(len(shape)) if a != innermost] + ([innermost] if innermost is not None else [])
    made, step = [0] * len(shape), 1
    for axis in reversed(order):
        made[axis] = step
        step *= max(shape[axis], 1)
    return tuple(made)


def view_of(place: Slot | Weight) -> View:
    """A value's place in the arena, or a weight, as a kernel sees it. Unsupported for a size that is not known."""
    if isinstance(place, Weight):
        return contiguous(place.dtype, place.shape)
    if not place.is_static:
        raise Unsupported(
            f"a value of shape {list(place.dims)} has a size that is known only when the net runs",
            advice="Compile for cuda with every size given: cortado compile --shape.",
        )
    stored = place.stored_shape
    steps = strides(stored, 1 if place.layout == "nhwc" else None)
    first = place.channels[0] * steps[1] if place.channels else 0
    at = None if place.at is None else place.at + first * DTYPES[place.dtype].itemsize
    return View(place.dtype, place.bounds, steps, at)
