"""Large tensors a piece at a time, so that what is computed in between stays in the processor's cache.

It also spares the system: a temporary of some megabytes is new memory at every run, and on a virtual machine the first
touch of its pages was measured to take ten times as long as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 1 << 16  # elements: 256 KiB of f32
GRAIN_SIZE = 1 << 15  # torch gives no thread less than this


def chunks(x: Tensor, channels: bool = False) -> Iterator[tuple[int, int, int]]:
    """(axis, start, length) along the longest axis; the channels (axis 1) are cut only if `channels` allows it."""
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
    """That piece of x, which has either that axis whole or a single element along it for all pieces."""
    return x if not x.ndim or x.shape[axis] in (1, length) else x.narrow(axis, start, length)
