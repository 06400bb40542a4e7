"""Images at another size: by straight lines between numbers, by repeating them, by the mask of a pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import Call, Primitive, Run, apart, insist, per_axis

ATEN = torch.ops.aten  # F.interpolate's own functions, which alone can write where they are told to
LINES = (ATEN.upsample_linear1d.out, ATEN.upsample_bilinear2d.out, ATEN.upsample_trilinear3d.out)


def image_of(x: Shape) -> Shape:
    insist(3 <= len(x) <= 5, f"it takes one to three image axes, not {list(x)}")
    return x[2:]


def kept(attributes: Mapping[str, Any], x: Shape) -> tuple[slice, ...]:
    """What of x is looked at, by axis."""
    before, after = per_axis(attributes["trim"], 2, 0, "trim")
    sizes = image_of(x)
    insist(min(before, after) >= 0 and before + after < min(sizes), f"of {list(x)} nothing is left by the trim")
    return (slice(None), slice(None), *(slice(before, size - after) for size in sizes))


def interp_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    shrink, zoom, times = attributes["shrink"], attributes["zoom"], attributes["times"]
    insist(min(shrink, zoom, times) >= 1, f"shrink {shrink}, zoom {zoom}, times {times} cannot be")
    lengths = [s.stop - s.start for s in kept(attributes, x)[2:]]
    made = tuple(attributes["sizes"]) or tuple(
        n * times if times != 1 else (n - 1) // shrink * zoom + 1 for n in lengths
    )
    insist(len(made) == len(lengths) and min(made) >= 1, f"{list(x)} cannot become an image of {list(made)}")
    return [(*x[:2], *made)]


def prepare_interp(call: Call) -> Run:
    x = call.operands[0].shape
    inside, sizes, drawn = kept(call.attributes, x), call.results[0].shape[2:], LINES[len(x) - 3]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        part = operands[0][inside]
        if part.shape[2:] == sizes:
            results[0].copy_(part)
        elif part.numel():
            drawn(part, sizes, True, out=results[0])  # True: corners on corners

    return run


def upsample_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    scale = per_axis(attributes["scale"], len(image_of(x)), 1, "scale")
    insist(min(scale) >= 1, f"scale is 1 or more, not {scale}")
    return [(*x[:2], *(size * s for size, s in zip(x[2:], scale, strict=True)))]


def prepare_upsample(call: Call) -> Run:
    x = call.operands[0].shape
    scale = per_axis(call.attributes["scale"], len(x) - 2, 1, "scale")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        image, copies = operands[0], results[0]
        for axis, s in enumerate(scale):  # h of the result is [h of x, copies]: one axis becomes two in both
            at = 2 + 2 * axis
            image, copies = image.unsqueeze(at + 1), apart(copies, at, (-1, s))
        copies.copy_(image.expand(copies.shape))

    return run


def unpool_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, mask = operands
    insist(x == mask, f"the mask {list(mask)} does not have the shape {list(x)}")
    sizes = image_of(x)
    scale = per_axis(attributes["scale"], len(sizes), 2, "scale")
    cut = per_axis(attributes["cut"], len(sizes), 0, "cut")
    made = tuple(attributes["sizes"]) or tuple(i * s - c for i, s, c in zip(sizes, scale, cut, strict=True))
    insist(len(made) == len(sizes) and min(made) >= 1, f"{list(x)} cannot become an image of {list(made)}")
    return [(*x[:2], *made)]


def prepare_unpool(call: Call) -> Run:
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


INTERP = Primitive(prepare_interp, interp_shapes)
UPSAMPLE = Primitive(prepare_upsample, upsample_shapes)
UNPOOL = Primitive(prepare_unpool, unpool_shapes)
