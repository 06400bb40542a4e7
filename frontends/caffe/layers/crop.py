"""Crop, by offsets in the file or by those that the layers between its bottoms amount to; AutoCrop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ....compiler.ir import Value
from ....compiler.ops.indexing import Crop
from ..layer import Layer, layer


@layer("Crop", "crop_param", bottoms=2, dialect="bvlc", fields=("axis", "offset"))
def crop(l: Layer, x: Value, like: Value) -> Value:
    """Crop the first bottom to the second's sizes from `axis` on, from `offset` on, 0 by default (crop_layer.cpp)."""
    p = l.param
    axis, offsets = l.axis(p["axis"], x), p["offset"]
    if len(offsets) > 1 and len(offsets) != x.type.rank - axis:
        raise l.fault(f"it has {len(offsets)} offsets, and crops {x.type.rank - axis} axes", "offset")
    return l.emit(Crop(axis=axis, offset=offsets or (0,)), x, like)


# Layer types that came to BVLC's Caffe after the fork of FCN and HED: its Caffe refuses a net that has them.
NEWER_TYPES = {
    "BatchNorm", "BatchReindex", "Bias", "Clip", "ELU", "Input", "LSTM", "Parameter", "RNN", "Scale", "Swish",
}  # fmt: skip


@layer("Crop", bottoms=2, dialect="hed", lacks=NEWER_TYPES)
def crop_by_coordinates(l: Layer, x: Value, like: Value) -> Value:
    """Crop the first bottom to the second's image, where its pixels lie in the first (HED's and FCN's crop_layer.cpp).

    The offset follows from the kernels, strides and pads of the layers by which both bottoms come from one blob.
    """
    return crop_where_aligned(l, x, like, has_dilation=False)


@layer("AutoCrop", bottoms=2)
def auto_crop(l: Layer, x: Value, like: Value) -> Value:
    """HED's Crop under another name, which also knows dilation (RCF's auto_crop_layer.cpp)."""
    return crop_where_aligned(l, x, like, has_dilation=True)


def crop_where_aligned(l: Layer, x: Value, like: Value, has_dilation: bool) -> Value:
    """Emit the crop from the place on where the second bottom's first pixel lies in the first bottom."""
    if x.type.rank != 4 or like.type.rank != 4:
        raise l.mismatch(f"it crops images [n, c, h, w], not {x.type} by {like.type}")
    offset = aligned_offset(l, has_dilation)
    makers = [l.importer.makers.get(blob) for bottom in l.message["bottom"] for blob in walk_back(l, bottom)]
    if any(maker and maker.type == "Pooling" and maker.param["global_pooling"] for maker in makers):
        x, like = l.keep_sizes(x), l.keep_sizes(like)  # the offset follows from the size of that window
    return l.emit(Crop(axis=2, offset=offset), x, like)


def aligned_offset(l: Layer, has_dilation: bool) -> tuple[int, ...]:
    """The first pixel that is kept, for each image axis (LayerSetUp in crop_layer.cpp).

    DialectMismatch where that Caffe ends: for blobs that do not come from one blob along first bottoms, a layer without
    coordinates between, another scale, a negative offset, or one between two pixels.
    """
    first, second = l.message["bottom"]
    path = list(walk_back(l, first))
    common = next((blob for blob in walk_back(l, second) if blob in path), None)
    if common is None:
        raise l.mismatch(f'"{first}" and "{second}" do not come from one blob, so their pixels cannot be aligned')
    mine, theirs = (find_coordinates(l, blob, common, has_dilation) for blob in (first, second))
    scale, shift = compose(theirs, invert(mine))
    for factor, offset in zip(scale.tolist(), shift.tolist(), strict=True):
        if abs(factor - 1) > TOLERANCE:
            raise l.mismatch(f'a pixel of "{first}" is {factor:g} pixels of "{second}" wide, not 1')
        if offset > TOLERANCE or abs(offset - round(offset)) > TOLERANCE:
            raise l.mismatch(f'the first pixel of "{second}" is at {-offset:g} in "{first}", which is no index')
    return tuple(-round(offset) for offset in shift.tolist())


def walk_back(l: Layer, blob: str) -> Iterator[str]:
    """Yield the blob, the first bottom of the layer that made it, and so on up to an input."""
    yield blob
    while (maker := l.importer.makers.get(blob)) and maker.message["bottom"]:
        blob = maker.message["bottom"][0]
        yield blob


# A map from coordinates of one image to those of another, y = scale x + shift: an array of float32, as in Caffe, for
# each of the two, with a number for each image axis (util/coords.hpp).
Array = np.ndarray[Any, np.dtype[np.float32]]
Coordinates = tuple[Array, Array]
TOLERANCE = 1e-15  # of CHECK_DOUBLE_EQ


def compose(outer: Coordinates, inner: Coordinates) -> Coordinates:
    """The map `outer` of what `inner` maps to."""
    return outer[0] * inner[0], outer[0] * inner[1] + outer[1]


def invert(map: Coordinates) -> Coordinates:
    return (1 / map[0]).astype(np.float32), -map[1] / map[0]


def find_coordinates(l: Layer, blob: str, start: str, has_dilation: bool) -> Coordinates:
    """The map from `start` to a blob that is made of it, composed of those of the layers between."""
    found: Coordinates = np.ones(2, np.float32), np.zeros(2, np.float32)
    while blob != start:
        maker = l.importer.makers[blob]
        if maker.type in ("Convolution", "Pooling"):
            found = compose(found, invert(window_coordinates(l, maker, has_dilation)))
        elif maker.type == "Deconvolution":
            found = compose(found, window_coordinates(l, maker, has_dilation))
        elif maker.type == l.type:
            shift = -np.asarray(aligned_offset(maker, has_dilation), np.float32)
            found = compose(found, (np.ones(2, np.float32), shift))
        elif maker.type not in STEADY_TYPES:
            raise l.mismatch(f"{maker.label} is between its bottoms, and has no coordinates")
        blob = maker.message["bottom"][0]
    return found


STEADY_TYPES = {  # whose pixels stay where they are: `coord_map` of neuron_layer.hpp and of each of the others
    "AbsVal", "BNLL", "Dropout", "ELU", "Exp", "Log", "Power", "PReLU", "ReLU", "Sigmoid", "TanH", "Threshold",
    "Concat", "Eltwise", "LRN", "MVN", "Slice", "Softmax", "Split",
}  # fmt: skip


def window_coordinates(l: Layer, maker: Layer, has_dilation: bool) -> Coordinates:
    """From the positions of a window, the pixels of a convolution's top, to the pixels at its centre (FilterMap)."""
    p = maker.param
    if maker.type == "Pooling" and p["global_pooling"]:
        kernel: Sequence[int] = maker.sizes(maker.bottoms[0].type.dims[2:])
    else:
        kernel = maker.window("kernel_size", 2)
    stride, pad = maker.window("stride", 2, 1), maker.window("pad", 2, 0, alone=True)
    dilation = (1, 1) if maker.type == "Pooling" else maker.window("dilation", 2, 1)
    if not has_dilation and set(dilation) != {1}:
        raise l.mismatch(f"{maker.label} has a dilation, which there is none of")
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    centre = np.asarray([(e - 1) / 2 for e in extent], np.float32) - np.asarray(pad, np.float32)
    return np.asarray(stride, np.float32), centre
