"""Tensors as a kernel addresses them: shape, strides, and whether several axes have a common stride."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from ....runtime.artifact import DTYPES, Slot, Weight
from ...errors import Unsupported

MAX_ELEMENTS = 1 << 31  # elements: offsets within a picture and element counts are 32-bit numbers


@dataclass(frozen=True, slots=True)
class View:
    """Logical shape and strides, in elements.

    `at`: its offset in the arena, in bytes; None for inputs and weights, whose address is a multiple of 16.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    at: int | None = None

    @property
    def is_aligned(self) -> bool:
        return (self.at or 0) % 16 == 0

    @property
    def is_contiguous(self) -> bool:
        """True if its elements are one after another, row-major; a part of a larger value may have gaps."""
        return self.numel == 1 or self.merged_stride(range(len(self.shape))) == 1

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        return DTYPES[self.dtype].itemsize

    def merged_stride(self, axes: Sequence[int]) -> int | None:
        """The common stride of axes, outermost first, as if flattened; None if they have none, 0 for no axes."""
        kept = [a for a in axes if self.shape[a] != 1] or list(axes[-1:])
        for outer, inner in pairwise(kept):
            if self.strides[outer] != self.strides[inner] * self.shape[inner]:
                return None
        return self.strides[kept[-1]] if kept else 0

    def slice_axis(self, axis: int, start: int, stop: int) -> View:
        """The subview of indices start … stop - 1 along an axis."""
        at = None if self.at is None else self.at + start * self.strides[axis] * self.itemsize
        return View(self.dtype, (*self.shape[:axis], stop - start, *self.shape[axis + 1 :]), self.strides, at)

    def is_same_view(self, other: View) -> bool:
        """True if both have the same address and the same strides, so that a copy would change nothing."""
        steps = zip(self.shape, self.strides, other.strides, strict=True)
        return self.at is not None and self.at == other.at and all(s == t for n, s, t in steps if n != 1)

    def extent(self, axes: Sequence[int]) -> int:
        return prod(self.shape[a] for a in axes)


def contiguous(dtype: str, shape: tuple[int, ...], *, innermost: int | None = None) -> View:
    """A contiguous tensor, row-major but for `innermost`, if given, which is the innermost axis."""
    return View(dtype, shape, strides(shape, innermost))


def strides(shape: Sequence[int], innermost: int | None = None) -> tuple[int, ...]:
    order = [a for a in range(len(shape)) if a != innermost] + ([innermost] if innermost is not None else [])
    result, step = [0] * len(shape), 1
    for axis in reversed(order):
        result[axis] = step
        step *= max(shape[axis], 1)
    return tuple(result)


def view_of(value: Slot | Weight) -> View:
    """The view of a value in the arena, or of a weight. Unsupported for a dynamic shape."""
    if isinstance(value, Weight):
        return contiguous(value.dtype, value.shape)
    if not value.is_static:
        raise Unsupported(
            f"a value of shape {list(value.dims)} has a size that is known only when the net runs",
            advice="Compile for cuda with every size given: cortado compile --shape.",
        )
    stored = value.stored_shape
    steps = strides(stored, 1 if value.layout == "nhwc" else None)
    first = value.channels[0] * steps[1] if value.channels else 0
    at = None if value.at is None else value.at + first * DTYPES[value.dtype].itemsize
    return View(value.dtype, value.bounds, steps, at)
