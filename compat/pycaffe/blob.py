"""Blob: an array that a script may keep, write and reshape; its memory lives as long as in Caffe."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

import numpy as np

from ...compiler.limits import size_fault
from ...compiler.types import TensorType
from .errors import CaffeError

Array = np.ndarray[Any, np.dtype[np.float32]]
LEGACY_AXES = 4


class BlobMemory:
    """The numbers of a blob, which its views share, and so do the tops of a Split layer.

    As in Caffe, memory is kept while the blob becomes smaller, and is new, and zeros, where it outgrows what it was.
    `is_pending` if the last forward made numbers that are not computed yet.
    """

    def __init__(self) -> None:
        self.capacity = 0
        self.flat: Array = np.zeros(0, np.float32)
        self.is_pending = False

    def reserve(self, count: int) -> None:
        """Make room for so many numbers; zeros, if there was less. It is allocated when it is read or written."""
        if count > self.capacity:
            self.capacity, self.is_pending = count, False
            self.flat = np.zeros(0, np.float32)

    def view(self, shape: tuple[int, ...]) -> Array:
        """The first numbers in a shape."""
        if self.flat.size < self.capacity:
            self.flat = np.zeros(self.capacity, np.float32)
        return self.flat[: prod(shape)].reshape(shape)

    def write(self, value: Array) -> None:
        """Write what a layer made; there is room for it."""
        self.view(value.shape)[...] = value
        self.is_pending = False

    @property
    def is_allocated(self) -> bool:
        """Whether the numbers were read or written since the memory is of this size."""
        return self.flat.size > 0

    @property
    def is_viewed(self) -> bool:
        """Whether a script holds a view: numpy's views all refer to the array that owns the memory."""
        return sys.getrefcount(self.flat) > OWN_REFERENCES


_UNVIEWED = BlobMemory()
OWN_REFERENCES = sys.getrefcount(_UNVIEWED.flat)  # to an array that only a BlobMemory holds


class CaffeBlob:
    """What `net.blobs[name]` is. `data` is a view of the blob's memory, which a script may write to."""

    def __init__(self, memory: BlobMemory, shape: tuple[int, ...], refresh: Callable[[], None] = lambda: None) -> None:
        self._memory, self._shape, self._refresh = memory, shape, refresh
        self._gradients = BlobMemory()
        self._take_shape(shape)

    @property
    def data(self) -> Array:
        """The numbers, f32, as a view: writing to it writes to the blob, and the next `forward` writes to it."""
        return self._view()

    @data.setter
    def data(self, value: Any) -> NoReturn:
        raise AttributeError("the data of a blob are written in place: blob.data[...] = array")

    @property
    def diff(self) -> Array:
        """An array of the same shape, for gradients: zeros, and what a script writes, since nothing computes any."""
        return self._gradients.view(self._shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self._shape

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return prod(self.shape)

    @property
    def num(self) -> int:
        """The first of four axes, 1 if there are fewer; so are `channels`, `height` and `width`."""
        return legacy_size(self.shape, 0)

    @property
    def channels(self) -> int:
        """The second of four axes."""
        return legacy_size(self.shape, 1)

    @property
    def height(self) -> int:
        """The third of four axes."""
        return legacy_size(self.shape, 2)

    @property
    def width(self) -> int:
        """The last of four axes."""
        return legacy_size(self.shape, 3)

    def reshape(self, *shape: int) -> None:
        """Give the blob other sizes; of an input, the next `forward` reshapes the net by itself."""
        sizes = tuple(operator.index(size) for size in shape)
        if any(size < 0 for size in sizes):
            raise CaffeError(f"a blob cannot be reshaped to {list(sizes)}: a size is negative")
        if fault := size_fault(TensorType("f32", sizes)):
            raise CaffeError(f"a blob reshaped to {list(sizes)} {fault}")
        self._take_shape(sizes)

    def _view(self) -> Array:
        self._refresh()
        return self._memory.view(self._shape)

    def _take_shape(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._memory.reserve(prod(shape))
        self._gradients.reserve(prod(shape))


class ParameterBlob(CaffeBlob):
    """A learnt blob; `find` gives the net's own array, so that what is written counts from the next run on."""

    def __init__(self, find: Callable[[], Array], shape: tuple[int, ...]) -> None:
        self._find, self._shape = find, shape
        super().__init__(BlobMemory(), shape)

    def _view(self) -> Array:
        return self._find().reshape(self._shape)

    def _take_shape(self, shape: tuple[int, ...]) -> None:
        if prod(shape) != prod(self._shape):
            sizes = f"{list(self._shape)} to {list(shape)}"
            raise CaffeError(f"a learnt blob keeps its size, which its layer's settings give: {sizes} is another")
        self._shape = shape
        self._gradients.reserve(prod(shape))


class BlobVec(list[CaffeBlob]):
    """The learnt blobs of a layer, of fixed number."""

    def add_blob(self, *shape: int) -> NoReturn:
        """CaffeError: a layer has the blobs that its settings give."""
        raise CaffeError("a layer has the learnt blobs that its settings give, and none can be added")

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise CaffeError("a learnt blob is written in place: blobs[0].data[...] = array")


def legacy_size(shape: tuple[int, ...], axis: int) -> int:
    """A size of four axes; 1 if there are fewer. CaffeError if there are more."""
    if len(shape) > LEGACY_AXES:
        raise CaffeError(f"a blob of {len(shape)} axes has no num, channels, height and width; use its shape")
    return shape[axis] if axis < len(shape) else 1
