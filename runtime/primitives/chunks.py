"""Splits large tensors into chunks, so that temporaries stay in the processor's cache.

It also avoids large temporaries, for which the allocator takes fresh pages from the system at every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 1 << 16  # elements: 256 KiB of f32
GRAIN_SIZE = 1 << 15  # torch gives each thread at least this many elements


def chunks(x: Tensor, channels: bool = False) -> Iterator[tuple[int, int, int]]:
    """(axis, start, length) of each chunk, along the longest axis. Axis 1 is split only if `channels` is true."""
    size = max(CHUNK, GRAIN_SIZE * torch.get_num_threads())
    axes = [axis for axis in range(x.ndim) if axis != 1 or channels]
    if not axes or x.numel() <= size:
        yield 0, 0, x.shape[0] if axes else 1
        return
    axis = max(axes, key=lambda i: x.shape[i])
    length = max(1, size * x.shape[axis] // x.numel())
    for start in range(0, x.shape[axis], length):
        yield axis, start, min(length, x.shape[axis] - start)


def chunk(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """The chunk of x; all of x if that is broadcast along the axis (length 1) or no longer than the chunk."""
    return x if not x.ndim or x.shape[axis] in (1, length) else x.narrow(axis, start, length)
