"""From slots to tensors: views of one block of bytes."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from .plan import DTYPES, ArtifactError, Shape, Slot, upper_bound


def allocate(nbytes: int) -> Tensor:
    """One block, u8 [nbytes], which torch aligns to 64 bytes. ArtifactError if the machine has not that much."""
    try:
        return torch.empty(nbytes, dtype=torch.uint8)
    except (RuntimeError, MemoryError):
        raise ArtifactError(
            f"the net needs {nbytes / 2**20:,.0f} MiB for its values, and there is not that much memory"
        ) from None


def view(arena: Tensor, slot: Slot, shape: Shape | None = None) -> Tensor:
    """The value that lies in `slot`, at its largest or of the given shape (`can_hold` says whether it may be)."""
    assert slot.at is not None
    dims = slot.bounds if shape is None else shape
    first, total = slot.channels or (0, dims[1] if len(dims) > 1 else 0)
    stored = (dims[0], total, *dims[2:]) if len(dims) > 1 else dims
    strides = strides_of(stored, slot.layout)
    dtype = DTYPES[slot.dtype]
    flat = arena[slot.at : slot.at + prod(stored) * dtype.itemsize].view(dtype)
    offset = flat.storage_offset() + (first * strides[1] if slot.channels else 0)
    return flat.as_strided(dims, strides, offset)


def strides_of(shape: Shape, layout: str) -> tuple[int, ...]:
    """Elements from one index to the next along each axis; in nhwc the channels (axis 1) are innermost."""
    order = [0, *range(2, len(shape)), 1] if layout == "nhwc" else range(len(shape))
    made, step = [0] * len(shape), 1
    for axis in reversed(order):
        made[axis] = step
        step *= max(shape[axis], 1)
    return tuple(made)


def can_hold(slot: Slot, shape: Shape) -> bool:
    """True if an actual shape is one that the slot was planned for."""
    return len(shape) == len(slot.dims) and all(
        0 <= n <= upper_bound(dim) if isinstance(dim, str) else n == dim
        for n, dim in zip(shape, slot.dims, strict=True)
    )
