"""The features inside boxes: the largest or the mean of each bin, or samples at their corners; all boxes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, is_finite, require
from .roi import check_operands, infer_shapes, split_boxes

LOWEST = torch.finfo(torch.float32).min
SMALLEST_SIDE = 0.1  # of a box for psroi_pool, in pixels


def prepare_pool(call: CallSite) -> Run:
    """Fast R-CNN's roi_pooling_layer.cpp, with mscnn's padding."""
    bins = (call.attributes["height"], call.attributes["width"])
    scale, pad, (images, _, *sizes) = call.attributes["scale"], call.attributes["pad"], call.operands[0].shape

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        if not results[0].numel() or not operands[0].numel():
            results[0].zero_()
            return
        image, corners = split_boxes(operands[1], images)
        corners = round_half_away(enlarge(corners, pad) * scale)
        rows, columns = (pool_edges(corners[:, i], corners[:, i + 2], bins[1 - i], sizes[1 - i]) for i in (1, 0))
        x = operands[0].permute(0, 2, 3, 1).contiguous()
        x = torch.where(x.isnan(), LOWEST, x).clamp(min=LOWEST)
        results[0].copy_(windows_max(x, image, rows, columns).permute(0, 3, 1, 2))

    return run


def windows_max(x: Tensor, image: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """The maxima [r, i, j, c] of x [n, h, w, c] in the windows of rows [r, i] and columns [r, j]; 0 in an empty one.

    `rows` and `columns` are the first and the last index plus one. A window is covered by four windows whose sides are
    powers of two: their maxima are computed once for all positions (a sparse table), for the sides that occur.
    """
    r, i, j = len(image), rows[0].shape[1], columns[0].shape[1]
    (top, bottom), (left, right) = (
        (first.view(*shape).expand(r, i, j).reshape(-1), last.view(*shape).expand(r, i, j).reshape(-1))
        for (first, last), shape in ((rows, (r, i, 1)), (columns, (r, 1, j)))
    )
    image = image.view(r, 1, 1).expand(r, i, j).reshape(-1)
    high, wide = log2_floor(bottom - top), log2_floor(right - left)  # -1 for an empty window
    made = x.new_zeros(r * i * j, x.shape[3])
    tall = x
    for a in range(int(high.max()) + 1):
        if a:
            tall = torch.maximum(tall[:, : -(1 << a - 1)], tall[:, 1 << a - 1 :])
        table = tall
        for b in range(int(wide.max()) + 1):
            if b:
                table = torch.maximum(table[:, :, : -(1 << b - 1)], table[:, :, 1 << b - 1 :])
            (mine,) = ((high == a) & (wide == b)).nonzero(as_tuple=True)
            if len(mine):
                flat, (h, w) = table.reshape(-1, x.shape[3]), table.shape[1:3]
                corners = [
                    (image[mine] * h + y) * w + z
                    for y in (top[mine], bottom[mine] - (1 << a))
                    for z in (left[mine], right[mine] - (1 << b))
                ]
                best = flat.index_select(0, corners[0])
                other = torch.empty_like(best)
                for corner in corners[1:]:
                    torch.maximum(best, torch.index_select(flat, 0, corner, out=other), out=best)
                made[mine] = best
    return made.view(r, i, j, -1)


def log2_floor(n: Tensor) -> Tensor:
    """The exponent of the largest power of two that is at most n; -1 for n below 1."""
    return torch.frexp(n.clamp(min=0).double()).exponent.long().where(n > 0, 0) - 1


def prepare_psroi(call: CallSite) -> Run:
    """R-FCN's psroi_pooling_layer.cu: means, as differences of cumulative sums in float64."""
    groups, channels, scale = (call.attributes[name] for name in ("groups", "channels", "scale"))
    images, _, *sizes = call.operands[0].shape

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        if not results[0].numel() or not operands[0].numel():
            results[0].zero_()
            return
        image, corners = split_boxes(operands[1], images)
        rounded = round_half_away(corners) + torch.tensor([0.0, 0.0, 1.0, 1.0])
        corners = rounded * scale
        (top, bottom), (left, right) = (
            average_edges(corners[:, i], corners[:, i + 2], groups, sizes[1 - i]) for i in (1, 0)
        )
        top, bottom, left, right = top[:, :, None], bottom[:, :, None], left[:, None], right[:, None]
        group = torch.arange(groups)

        def window_sums(x: Tensor) -> Tensor:
            """[r, groups, groups, channels], of x [n, channels, groups, groups, h, w]."""
            sums = torch.nn.functional.pad(x.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
            at = image[:, None, None], group[:, None], group
            total = sums.permute(0, 2, 3, 4, 5, 1)  # [n, groups, groups, h + 1, w + 1, channels]
            return total[*at, bottom, right] - total[*at, top, right] - total[*at, bottom, left] + total[*at, top, left]

        x = operands[0].reshape(images, channels, groups, groups, *sizes)
        area = ((bottom - top).clamp(min=0) * (right - left).clamp(min=0))[..., None]
        made = torch.where(area > 0, window_means(x, window_sums, area), 0.0)
        results[0].copy_(made.permute(0, 3, 1, 2))

    return run


def window_means(x: Tensor, window_sums: Callable[[Tensor], Tensor], area: Tensor) -> Tensor:
    """The sums by the areas; of infinities and NaN as addition has it, which differences of sums would not."""
    if is_finite(x):
        return window_sums(x) / area
    total = window_sums(torch.where(x.isfinite(), x, 0.0)) / area
    highest, lowest, missing = (window_sums(f) > 0 for f in (x.isposinf(), x.isneginf(), x.isnan()))
    total = torch.where(highest, torch.inf, torch.where(lowest, -torch.inf, total))
    return torch.where(missing | (highest & lowest), torch.nan, total)


def prepare_grid(call: CallSite) -> Run:
    """Cascade R-CNN's roi_align_layer.cpp: bilinear samples at the corners of the bins."""
    bins = (call.attributes["height"], call.attributes["width"])
    scale, pad, (images, _, *sizes) = call.attributes["scale"], call.attributes["pad"], call.operands[0].shape

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        if not results[0].numel() or not operands[0].numel():
            results[0].zero_()
            return
        image, corners = split_boxes(operands[1], images)
        corners = enlarge(corners, pad) * scale - 0.5
        length = corners[:, 2:] - corners[:, :2]
        flat, (height, width) = operands[0].permute(0, 2, 3, 1).reshape(-1, operands[0].shape[1]), sizes
        (h, lower, h_in), (w, right, w_in) = (
            grid_positions(corners[:, i], length[:, i], bins[1 - i], sizes[1 - i]) for i in (1, 0)
        )
        places, weights = list[Tensor](), list[Tensor]()
        for row, down in ((h[0], 1 - lower), (h[1], lower)):
            for column, across in ((w[0], 1 - right), (w[1], right)):
                places.append((image[:, None, None] * height + row[:, :, None]) * width + column[:, None])
                weights.append(down[:, :, None] * across[:, None])
        four = torch.stack(places, -1).reshape(-1, 4), torch.stack(weights, -1).reshape(-1, 4)
        made = torch.nn.functional.embedding_bag(four[0], flat, per_sample_weights=four[1], mode="sum")
        inside = (h_in[:, :, None] & w_in[:, None]) & (length > 0).all(1)[:, None, None]
        made = torch.where(inside.reshape(-1, 1), made, 0.0).view(*inside.shape, -1)
        results[0].copy_(made.permute(0, 3, 1, 2))

    return run


def grid_positions(start: Tensor, length: Tensor, bins: int, size: int) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """[r, bins + 1] each: the pixels before and after, how far the sample is beyond the first, and if it is inside."""
    at = start[:, None] + torch.arange(bins + 1) * (length / bins)[:, None]
    inside = (at >= -0.5) & (at <= size - 0.5)
    at = torch.where(inside, at, 0.0)
    before, after = at.floor().clamp(0, size - 1), (at.floor() + 1).clamp(0, size - 1)
    return (before.long(), after.long()), at.clamp(0, size - 1) - before, inside


def enlarge(corners: Tensor, pad: float) -> Tensor:
    """Boxes [r, 4] with a margin on each side, `pad` times xmax - xmin + 1."""
    margin = (corners[:, 2:] - corners[:, :2] + 1) * pad
    return torch.cat([corners[:, :2] - margin, corners[:, 2:] + margin], 1)


def round_half_away(x: Tensor) -> Tensor:
    """C's round: to the nearest integer, halves away from 0."""
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


def pool_edges(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """[r, bins] each: the first pixel of each bin, and the last plus one."""
    each, start = ((end - start + 1).clamp(min=1) / bins)[:, None], start[:, None]
    low = (each * torch.arange(bins)).floor() + start
    return clip(low, size), clip((each * torch.arange(1, bins + 1)).ceil() + start, size)


def average_edges(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """[r, bins] each: the first pixel of each bin, and the last plus one."""
    each, start = ((end - start).clamp(min=SMALLEST_SIDE) / bins)[:, None], start[:, None]
    low = (each * torch.arange(bins) + start).floor()
    return clip(low, size), clip((each * torch.arange(1, bins + 1) + start).ceil(), size)


def clip(pixel: Tensor, size: int) -> Tensor:
    """Whole numbers from 0 to size; 0 for NaN."""
    return pixel.nan_to_num(nan=0.0).clamp(0, size).long()


def infer_psroi_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, rois = operands
    check_operands(x, rois)
    groups, channels = attributes["groups"], attributes["channels"]
    require(min(groups, channels) >= 1, "channels and groups are 1 or more")
    require(x[1] == channels * groups**2, f"it takes {channels * groups**2} channels, not {x[1]}")
    return [(rois[0], channels, groups, groups)]


def infer_grid_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    ((boxes, channels, height, width),) = infer_shapes(attributes, operands, planned)
    return [(boxes, channels, height + 1, width + 1)]


ROI_POOL = Primitive(prepare_pool, infer_shapes)
PSROI_POOL = Primitive(prepare_psroi, infer_psroi_shapes)
ROI_GRID = Primitive(prepare_grid, infer_grid_shapes)
