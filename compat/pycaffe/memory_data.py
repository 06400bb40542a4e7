"""The arrays of a MemoryData layer, of which each forward takes the next batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .blob import Array, CaffeBlob
from .errors import CaffeError


class MemoryBatches:
    """Images and labels, from the first batch on, and again from the first behind the last."""

    def __init__(self) -> None:
        self.tops: Sequence[str] = ()
        self.arrays: tuple[Array, Array] | None = None
        self.next = 0

    def set(self, tops: Sequence[str], data: Any, labels: Any, shape: tuple[int, ...]) -> None:
        """Take other arrays. `shape` is the images' blob's. CaffeError if they do not fit it, or each other."""
        images, marks = np.asarray(data, np.float32), np.asarray(labels, np.float32)
        if images.shape[1:] != shape[1:]:
            raise CaffeError(f"the images are {list(images.shape[1:])} each, and the net takes {list(shape[1:])}")
        if len(images) != len(marks) or not len(images) or len(images) % shape[0]:
            raise CaffeError(f"{len(images)} images and {len(marks)} labels are no whole batches of {shape[0]}")
        self.tops, self.arrays, self.next = tops, (images, marks.reshape(len(marks), -1)), 0

    def write_next(self, blobs: Mapping[str, CaffeBlob]) -> None:
        """Write the next batch into the layer's blobs."""
        if self.arrays is None:
            return
        size = blobs[self.tops[0]].shape[0]
        for top, array in zip(self.tops, self.arrays, strict=True):
            view = blobs[top].data
            view[...] = array[self.next : self.next + size].reshape(view.shape)
        self.next = (self.next + size) % len(self.arrays[0])
