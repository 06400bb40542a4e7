"""Images at another size: by straight lines between numbers, by repeating them, by the mask of a pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, per_axis, require, split_axis

ATEN = torch.ops.aten  # F.interpolate's own functions, which alone can write where they are told to
LINEAR_UPSAMPLES = (ATEN.upsample_linear1d.out, ATEN.upsample_bilinear2d.out, ATEN.upsample_trilinear3d.out)


def image_sizes(x: Shape) -> Shape:
    require(3 <= len(x) <= 5, f"it takes one to three image axes, not {list(x)}")
    return x[2:]


def trimmed_slices(attributes: Mapping[str, Any], x: Shape) -> tuple[slice, ...]:
    """What of x is looked at, by axis."""
    before, after = per_axis(attributes["trim"], 2, 0, "trim")
    sizes = image_sizes(x)
    require(min(before, after) >= 0 and before + after < min(sizes), f"of {list(x)} nothing is left by the trim")
    return (slice(None), slice(None), *(slice(before, size - after) for size in sizes))


def infer_interp_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    shrink, zoom, times = attributes["shrink"], attributes["zoom"], attributes["times"]
    require(min(shrink, zoom, times) >= 1, f"shrink {shrink}, zoom {zoom}, times {times} cannot be")
    lengths = [s.stop - s.start for s in trimmed_slices(attributes, x)[2:]]
    made = tuple(attributes["sizes"]) or tuple(
        n * times if times != 1 else (n - 1) // shrink * zoom + 1 for n in lengths
    )
    require(len(made) == len(lengths) and min(made) >= 1, f"{list(x)} cannot become an image of {list(made)}")
    return [(*x[:2], *made)]


def prepare_interp(call: CallSite) -> Run:
    x = call.operands[0].shape
    inside, sizes, drawn = trimmed_slices(call.attributes, x), call.results[0].shape[2:], LINEAR_UPSAMPLES[len(x) - 3]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        part = operands[0][inside]
        if part.shape[2:] == sizes:
            results[0].copy_(part)
        elif part.numel():
            drawn(part, sizes, True, out=results[0])  # True: corners on corners

    return run


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
        for axis, s in enumerate(scale):  # h of the result is [h of x, copies]: one axis becomes two in both
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
    """Planes are rows of numbers here, in whichever layout: an image that lies in nhwc is read as its columns."""
    count = prod(call.results[0].shape[2:])

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x, mask = operands
        made = results[0].zero_()
        if not x.numel():
            return
        places = mask.flatten(2).long()
        least, most = places.aminmax()
        if least < 0 or most >= count:
            wrong = int(least if least < 0 else most)
            raise ValueError(f"the mask names place {wrong} of a plane of {count}")
        plane = made.flatten(2)
        plane.scatter_(2, places, x.flatten(2))  # along one axis the CPU goes in order, so the later number stays
        if plane.data_ptr() != made.data_ptr():  # its image axes are no one axis in memory, so it was a copy
            made.copy_(plane.view(made.shape))

    return run


INTERP = Primitive(prepare_interp, infer_interp_shapes)
UPSAMPLE = Primitive(prepare_upsample, infer_upsample_shapes)
UNPOOL = Primitive(prepare_unpool, infer_unpool_shapes)
