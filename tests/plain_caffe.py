"""A plain model of pycaffe's Net for one small net: each forward computes all blobs at once, in numpy."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

NET = """
name: "plain"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "twice" type: "Power" bottom: "conv" top: "twice" power_param { scale: 2 } }
layer { name: "shift" type: "Bias" bottom: "twice" top: "shift" }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "shift" top: "sum" }
"""
SPLIT = "conv_relu_0_split"
PARAMS: dict[str, list[tuple[int, ...]]] = {"conv": [(4, 3, 1, 1), (4,)], "scale": [(4,), (4,)], "shift": [(4,)]}


class PlainBlob:
    """A blob's memory, which is new, and zeros, where the blob outgrows it, and kept where it becomes smaller."""

    def __init__(self) -> None:
        self.memory: Array = np.zeros(0, np.float32)
        self.shape: tuple[int, ...] = (0,)

    def reshape(self, *shape: int) -> None:
        """Give it other sizes."""
        self.shape = shape
        if prod(shape) > self.memory.size:
            self.memory = np.zeros(prod(shape), np.float32)

    @property
    def data(self) -> Array:
        return self.memory[: prod(self.shape)].reshape(self.shape)


class PlainCopy:
    """A top of a Split layer, which has its numbers in the memory of the blob that it copies."""

    def __init__(self, source: PlainBlob) -> None:
        self.source, self.shape = source, source.shape

    @property
    def data(self) -> Array:
        return self.source.memory[: prod(self.shape)].reshape(self.shape)


class PlainNet:
    """NET as Caffe runs it, with the learnt blobs of `params`."""

    def __init__(self, params: dict[str, list[Array]]) -> None:
        self.params = {name: [array.copy() for array in arrays] for name, arrays in params.items()}
        own = {name: PlainBlob() for name in ("data", "conv", "pool", "twice", "shift", "sum")}
        self.copies = {f"{SPLIT}_{i}": PlainCopy(own["conv"]) for i in range(3)}
        self.blobs: dict[str, Any] = own | self.copies
        self.blobs["data"].reshape(1, 3, 4, 4)
        self.reshape()

    def reshape(self) -> None:
        """Give all blobs the sizes that follow from the input's."""
        count, _, height, width = self.blobs["data"].shape
        for name in ("conv", "twice", "shift", "sum"):
            self.blobs[name].reshape(count, 4, height, width)
        self.blobs["pool"].reshape(count, 4, height // 2, width // 2)
        for copy in self.copies.values():
            copy.shape = self.blobs["conv"].shape

    def forward(self) -> None:
        """Compute all blobs."""
        self.reshape()
        (weight, bias), (factor, offset), (shift,) = (self.params[name] for name in PARAMS)
        conv = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], self.blobs["data"].data) + column(bias)
        conv = np.maximum(conv * column(factor) + column(offset), 0)
        count, channels, height, width = conv.shape
        windows = conv.reshape(count, channels, height // 2, 2, width // 2, 2)
        made = {"conv": conv, "pool": windows.max((3, 5)), "twice": 2 * conv, "shift": 2 * conv + column(shift)}
        for name, array in (made | {"sum": conv + made["shift"]}).items():
            self.blobs[name].data[...] = array


def column(numbers: Array) -> Array:
    """One number for each channel."""
    return numbers[:, None, None]
