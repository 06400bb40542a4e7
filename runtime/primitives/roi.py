"""The features inside boxes, as bins (synopsys-caffe, roi_align_layer.cpp): all boxes and bins at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, require

SAMPLES = (-0.5, 0.5)
POINTS = 4  # pixels of a bin that are read


def check_operands(x: Shape, rois: Shape) -> None:
    """ValueError unless these are images and boxes."""
    require(len(x) == 4, f"it takes images [n, c, h, w], not {list(x)}")
    require(len(rois) >= 2 and prod(rois[1:]) == 5, f"the boxes are [r, 5], not {list(rois)}")


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, rois = operands
    check_operands(x, rois)
    require(min(attributes["height"], attributes["width"]) >= 1, "height and width are 1 or more")
    return [(rois[0], x[1], attributes["height"], attributes["width"])]


def split_boxes(rois: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """The image i64 [r] and the corners f32 [r, 4] of each box. ValueError if there is no such image."""
    boxes = rois.reshape(-1, 5).float()
    image = boxes[:, 0].trunc()
    if not ((image >= 0) & (image < images)).all():  # NaN is none
        raise ValueError(f"a box is in an image that is not there: there are {images}")
    return image.long(), boxes[:, 1:]


def prepare(call: CallSite) -> Run:
    """Index arrays are [boxes, rows of bins, columns of bins, points]; a bin's points are its pixels, row by row."""
    bins = (call.attributes["height"], call.attributes["width"])
    scale, (images, _, *sizes) = call.attributes["scale"], call.operands[0].shape

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        if not operands[0].numel():
            results[0].zero_()
            return
        x, (image, corners) = operands[0], split_boxes(operands[1], images)
        corners = corners * scale
        (column, xs, no_width), (row, ys, no_height) = (
            axis_pixels(corners[:, i], corners[:, i + 2], bins[1 - i], sizes[1 - i]) for i in (0, 1)
        )
        row, ys, no_height = row[:, :, None, None], ys[:, :, None, None], no_height[:, :, None]
        column, xs, no_width = column[:, None, :, None], xs[:, None, :, None], no_width[:, None, :]
        point = torch.arange(POINTS)
        h, w = row + point // xs.clamp(min=1), column + point % xs.clamp(min=1)
        inside = (point < xs * ys) & (h < sizes[0]) & (w < sizes[1])
        picked = x[image[:, None, None, None], :, h.clamp(max=sizes[0] - 1), w.clamp(max=sizes[1] - 1)]
        numbers = torch.where(inside[..., None], picked, 0.0)  # [boxes, rows, columns, points, channels]
        best = torch.where(no_height | no_width, 0.0, torch.finfo(torch.float32).min)[..., None]
        for sx in SAMPLES:
            across = axis_weights(sx, w, corners[:, 0], corners[:, 2])
            for sy in SAMPLES:
                weights = across * axis_weights(sy, h, corners[:, 1], corners[:, 3])
                sample = (numbers * weights[..., None]).sum(3)
                best = torch.where(sample > best, sample, best)
        results[0].copy_(best.permute(0, 3, 1, 2))

    return run


def axis_pixels(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """[boxes, bins] each: the first pixel, how many there are, and whether the bin has no extent.

    ValueError for an edge of a bin that is NaN: of NaN, or of an extent that overflows. C++ does not define its pixel.
    """
    each = ((end - start + 1).clamp(min=1) / bins)[:, None]
    edges = each * torch.arange(bins + 1) + start[:, None]
    if (bad := edges.isnan().any(1)).any():
        box = int(bad.nonzero()[0])
        extent = f"from {float(start[box]):g} to {float(end[box]):g}"
        raise ValueError(f"box {box} cannot be divided into bins: by the scale it is {extent}")
    edges = edges.clamp(0, size)
    low, high = edges[:, :-1], edges[:, 1:]
    first = low.ceil()
    return first.long(), (high.floor() - first + 1).clamp(min=0).long(), high <= low


def axis_weights(sample: float, pixel: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """How much each pixel counts in a sample, along one axis."""
    start, length = start[:, None, None, None], (end - start)[:, None, None, None]
    at = torch.where(length == 0, 0.0, (2 * (pixel - start) / length - 1).clamp(-1, 1))
    return (1 - (sample - at).abs()).clamp(min=0)


ROI_ALIGN = Primitive(prepare, infer_shapes)
