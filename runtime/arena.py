"""The arena: one block of memory, and the values in it as tensor views."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from .plan import DTYPES, ArtifactError, Shape, Slot, upper_bound


def allocate(nbytes: int) -> Tensor:
    """Allocate the arena, u8 [nbytes], aligned to 64 bytes by torch. ArtifactError if there is not enough memory."""
    try:
        return torch.empty(nbytes, dtype=torch.uint8)
    except (RuntimeError, MemoryError):
        raise ArtifactError(
            f"the net needs {nbytes / 2**20:,.0f} MiB for its values, and there is not that much memory"
        ) from None


def view(arena: Tensor, slot: Slot, shape: Shape | None = None) -> Tensor:
    """The value in `slot`, of its largest shape or of `shape`, which has to satisfy `can_hold`."""
    assert slot.at is not None
    dims = slot.bounds if shape is None else shape
    stored = stored_shape(slot, dims)
    strides, first = strides_in(slot, dims)
    dtype = DTYPES[slot.dtype]
    flat = arena[slot.at : slot.at + prod(stored) * dtype.itemsize].view(dtype)
    return flat.as_strided(dims, strides, flat.storage_offset() + first)


def stored_shape(slot: Slot, dims: Shape) -> Shape:
    """The shape of the stored tensor that a value of these dims is, or is a part of."""
    if len(dims) < 2:
        return dims
    total = slot.channels[1] if slot.channels else dims[1]
    return (dims[0], total, *(n + sum(slot.halo or (0, 0)) for n in dims[2:]))


def strides_in(slot: Slot, dims: Shape) -> tuple[Shape, int]:
    """The strides of a value of these dims, and where its first element is in the stored tensor, both in elements."""
    strides = strides_of(stored_shape(slot, dims), slot.layout)
    first = slot.channels[0] * strides[1] if slot.channels else 0
    return strides, first + (slot.halo or (0, 0))[0] * sum(strides[2:])


def strides_of(shape: Shape, layout: str) -> tuple[int, ...]:
    """Strides, in elements, of a contiguous tensor; in nhwc the channels (axis 1) are innermost."""
    order = [0, *range(2, len(shape)), 1] if layout == "nhwc" else range(len(shape))
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def can_hold(slot: Slot, shape: Shape) -> bool:
    """True if the slot has memory for an actual shape: equal static dimensions, dynamic ones within bounds."""
    return len(shape) == len(slot.dims) and all(
        0 <= n <= upper_bound(dim) if isinstance(dim, str) else n == dim
        for n, dim in zip(shape, slot.dims, strict=True)
    )
