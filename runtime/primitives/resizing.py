"""Resizing of images: linear interpolation, upsampling by repetition, and unpooling by the mask of a max pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, is_finite, per_axis, require, split_axis

ATEN = torch.ops.aten  # the functions below F.interpolate, which take `out`
LINEAR_UPSAMPLES = (ATEN.upsample_linear1d.out, ATEN.upsample_bilinear2d.out, ATEN.upsample_trilinear3d.out)


def image_sizes(x: Shape) -> Shape:
    require(3 <= len(x) <= 5, f"it takes one to three image axes, not {list(x)}")
    return x[2:]


def trimmed_slices(attributes: Mapping[str, Any], x: Shape) -> tuple[slice, ...]:
    """The slices of x that remain after `trim`, by axis."""
    before, after = per_axis(attributes["trim"], 2, 0, "trim")
    sizes = image_sizes(x)
    require(min(before, after) >= 0 and before + after < min(sizes), f"trim leaves nothing of {list(x)}")
    return (slice(None), slice(None), *(slice(before, size - after) for size in sizes))


def infer_interp_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    shrink, zoom, times = attributes["shrink"], attributes["zoom"], attributes["times"]
    require(min(shrink, zoom, times) >= 1, f"shrink {shrink}, zoom {zoom}, times {times} are invalid")
    lengths = [s.stop - s.start for s in trimmed_slices(attributes, x)[2:]]
    made = tuple(attributes["sizes"]) or tuple(
        n * times if times != 1 else (n - 1) // shrink * zoom + 1 for n in lengths
    )
    require(len(made) == len(lengths) and min(made) >= 1, f"{list(x)} cannot become an image of {list(made)}")
    return [(*x[:2], *made)]


def prepare_interp(call: CallSite) -> Run:
    x = call.operands[0].shape
    inside, sizes, interpolate = (
        trimmed_slices(call.attributes, x),
        call.results[0].shape[2:],
        LINEAR_UPSAMPLES[len(x) - 3],
    )

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        part = operands[0][inside]
        if part.shape[2:] == sizes:
            results[0].copy_(part)
        elif part.numel():
            interpolate(part, sizes, True, out=results[0])  # True: align_corners
            if not is_finite(results[0]):
                results[0].copy_(interpolate_as_caffe(part, sizes))

    return run


def interpolate_as_caffe(x: Tensor, sizes: Shape) -> Tensor:
    """Linear interpolation in which an infinite neighbour counts even with weight 0, which makes NaN (interp.cpp).

    torch ignores it on an axis that keeps its size.
    """
    for axis, count in enumerate(sizes, 2):
        left, right, part = find_caffe_neighbours(x.shape[axis], count)
        part = part.reshape(-1, *[1] * (x.ndim - 1 - axis))
        x = x.index_select(axis, left) * (1 - part) + x.index_select(axis, right) * part
    return x


def find_caffe_neighbours(size: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `count` new indices the two of `size` that it lies between, and its distance from the first.

    Positions are float32, as in Caffe: an index that is not quite whole has a neighbour of almost no weight.
    """
    at = torch.tensor(size - 1 if count > 1 else 0.0) / max(count - 1, 1) * torch.arange(count)
    left = at.long()
    return left, (left + 1).clamp(max=size - 1), at - left


def infer_upsample_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    scale = per_axis(attributes["scale"], len(image_sizes(x)), 1, "scale")
    require(min(scale) >= 1, f"scale is 1 or more, not {scale}")
    return [(*x[:2], *(size * s for size, s in zip(x[2:], scale, strict=True)))]


def prepare_upsample(call: CallSite) -> Run:
    x = call.operands[0].shape
    scale = per_axis(call.attributes["scale"], len(x) - 2, 1, "scale")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        image, copies = operands[0], results[0]
        for axis, s in enumerate(scale):  # view the result axis as [size, s] and broadcast x over s
            at = 2 + 2 * axis
            image, copies = image.unsqueeze(at + 1), split_axis(copies, at, (-1, s))
        copies.copy_(image.expand(copies.shape))

    return run


def infer_unpool_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, mask = operands
    require(x == mask, f"the mask {list(mask)} does not have the shape {list(x)}")
    sizes = image_sizes(x)
    scale = per_axis(attributes["scale"], len(sizes), 2, "scale")
    cut = per_axis(attributes["cut"], len(sizes), 0, "cut")
    made = tuple(attributes["sizes"]) or tuple(i * s - c for i, s, c in zip(sizes, scale, cut, strict=True))
    require(len(made) == len(sizes) and min(made) >= 1, f"{list(x)} cannot become an image of {list(made)}")
    return [(*x[:2], *made)]


def prepare_unpool(call: CallSite) -> Run:
    """Scatter x to the positions in the mask, zeros elsewhere. ValueError for a position outside the plane."""
    count = prod(call.results[0].shape[2:])

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x, mask = operands
        made = results[0].zero_()
        if not x.numel():
            return
        indices = mask.flatten(2).long()
        least, most = indices.aminmax()
        if least < 0 or most >= count:
            wrong = int(least if least < 0 else most)
            raise ValueError(f"the mask holds the index {wrong} for a plane of {count}")
        plane = made.flatten(2)
        plane.scatter_(2, indices, x.flatten(2))  # sequential along one axis on a CPU: the last of equal indices wins
        if plane.data_ptr() != made.data_ptr():  # flatten copied: the image axes have no common stride
            made.copy_(plane.view(made.shape))

    return run


INTERP = Primitive(prepare_interp, infer_interp_shapes)
UPSAMPLE = Primitive(prepare_upsample, infer_upsample_shapes)
UNPOOL = Primitive(prepare_unpool, infer_unpool_shapes)
