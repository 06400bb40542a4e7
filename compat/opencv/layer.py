"""A layer of a net as cv2.dnn.Net.getLayer gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .errors import as_opencv

Array = np.ndarray[Any, Any]


class LayerOwner(Protocol):
    """The part of a net that its layers need."""

    preferred_target: int

    def read_params(self, id: int) -> list[Array]: ...

    def write_params(self, id: int, arrays: Sequence[Any]) -> None: ...


class Layer:
    """A layer: its name, type and learnt blobs."""

    def __init__(self, net: LayerOwner, id: int, name: str, type: str) -> None:
        self.net, self.id = net, id
        self.name, self.type = name, type

    @property
    def preferableTarget(self) -> int:
        return self.net.preferred_target

    @property
    def blobs(self) -> tuple[Array, ...]:
        """Copies of the learnt blobs, float32, of OpenCV's shapes: a vector [n] is [n,1], an InnerProduct's bias [1,n].

        Assigned a list of arrays with as many numbers as the layer takes, of any shapes, it replaces them: from the
        next `forward` on, also after earlier ones, where OpenCV goes on with the former ones. A bias that is left out
        is zero.
        """
        with as_opencv():
            return tuple(opencv_shape(blob, self.type) for blob in self.net.read_params(self.id))

    @blobs.setter
    def blobs(self, arrays: Sequence[Any]) -> None:
        with as_opencv():
            self.net.write_params(self.id, [np.asarray(array, np.float32) for array in arrays])

    def outputNameToIndex(self, outputName: str) -> int:
        """The index of the output of this name: 0, as for all layers of OpenCV that are read from Caffe's files."""
        return 0

    def getDefaultName(self) -> str:
        return ""

    def empty(self) -> bool:
        return not self.type

    def __repr__(self) -> str:
        return f"< cortado.compat.opencv.Layer {self.name!r} ({self.type}) >"


def opencv_shape(blob: Array, type: str) -> Array:
    """A copy of a learnt blob; OpenCV has no arrays of less than two axes."""
    if blob.ndim >= 2:
        return blob.copy()
    return blob.reshape((1, -1) if type == "InnerProduct" else (-1, 1)).copy()
