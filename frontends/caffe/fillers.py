"""Fills learnt blobs that a caffemodel lacks, where the prototxt says exactly with what.

Caffe fills all blobs before it reads weights, and leaves those of a layer that the caffemodel lacks as they are
(net.cpp, CopyTrainedLayersFrom). Published FCN nets rely on that: their upsampling is a Deconvolution with a filler
`bilinear`, and not in the file. The filler has to be written in the prototxt: by default Caffe's weights are all 0,
which nobody means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..files.message import Message
from .layer import Layer

# The settings that hold a blob's filler by its role, and the constant that Caffe fills in without one.
FILLERS = {"weight": ("weight_filler", 0.0), "bias": ("bias_filler", 0.0)}
FILLERS_BY_TYPE = {
    ("Scale", "gamma"): ("filler", 1.0),
    ("Scale", "beta"): ("bias_filler", 0.0),
    ("Bias", "beta"): ("filler", 0.0),
    ("PReLU", "slope"): ("filler", 0.25),
    ("Normalize", "gamma"): ("scale_filler", 1.0),
}


Filler = Callable[[Layer, int, tuple[int, ...], str], tuple[torch.Tensor | None, str]]
"""(layer, blob index, shape, role) -> the blob, or None to leave it unbound, and with what it is filled, in words for a
warning, or "" for none. InexactFiller to have it reported as missing."""


class InexactFiller(Exception):
    """A blob cannot be filled as Caffe fills it. The argument is a clause that says why, or ""."""


def fill(layer: Layer, index: int, shape: tuple[int, ...], role: str) -> tuple[torch.Tensor, str]:
    """Blob `index` of a layer as its filler makes it, and what that is, in words. InexactFiller if it is not exact.

    A layer is filled only if the filler of its first blob is written.
    """
    name, default = FILLERS_BY_TYPE.get((layer.type, role)) or FILLERS.get(role, ("", 0.0))
    if layer.layer_type.param is None or name not in layer.param.field_types:
        raise InexactFiller("")
    if name not in layer.param:
        if index == 0:
            raise InexactFiller("")
        return torch.full(shape, default), f"{default:g}, Caffe's default"
    filler: Message = layer.param[name]
    kind, unknown = filler["type"], filler.unknown
    if kind not in ("constant", "bilinear"):
        raise InexactFiller(f'its {name} is "{kind}", which draws random numbers or is not Caffe\'s')
    if unknown:
        raise InexactFiller(f"its {name} has {unknown[0].name}, which Caffe lacks")
    if filler["sparse"] != -1:
        raise InexactFiller(f"its {name} has sparse, which Caffe refuses for {kind}")
    if kind == "constant":
        return torch.full(shape, filler["value"]), f"{filler['value']:g}, as {name} says"
    if len(shape) != 4 or shape[2] != shape[3]:
        raise InexactFiller(f"its {name} bilinear takes a square kernel, and the blob is {list(shape)}")
    version = " (Caffe 1.0's; since October 2017 Caffe has others for this kernel)" if shape[-1] % 4 >= 2 else ""
    return bilinear(shape), f"weights of bilinear interpolation, as {name} says{version}"


def bilinear(shape: tuple[int, ...]) -> torch.Tensor:
    """f32 weights [..., k, k] of bilinear interpolation: (1 - |x/f - c|) (1 - |y/f - c|), with f = ceil(k / 2).

    c is (2f - 1 - f mod 2) / 2f, as in Caffe 1.0 (filler.hpp). Since October 2017 it is (k - 1) / 2f, which is the same
    for k of 1, 4, 5, 8, 9, 12, ...: those that upsample by a whole factor.
    """
    size = shape[-1]
    f = -(-size // 2)
    center = np.float32((2 * f - 1 - f % 2) / (2.0 * f))
    positions = np.arange(size, dtype=np.float32) / np.float32(f) - center
    weights = 1 - np.abs(positions.astype(np.float64))
    kernel = np.multiply.outer(weights, weights).astype(np.float32)
    return torch.from_numpy(np.broadcast_to(kernel, shape).copy())
