"""Operators on regions of interest (RoI): the features inside each box, pooled or sampled at a fixed size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, isfinite, prod

import torch
from torch import Tensor

from ..op import Op, op
from ..types import Dim, TensorType
from .image import split_image_dims

LOWEST_F32 = -3.4028234663852886e38  # -FLT_MAX: Caffe's maxima start with it


def roi_dims(x: TensorType, rois: TensorType, sizes: Sequence[int], scale: float, pad: float = 0.0) -> tuple[Dim, int]:
    """The number of boxes and of channels. ValueError unless x is [n, c, h, w] and rois [r, 5], or if a size is 0."""
    _, channels, pixels = split_image_dims(x)
    if len(pixels) != 2:
        raise ValueError(f"takes images [n, c, h, w], not {x}")
    if min(sizes) < 1:
        raise ValueError(f"height and width are 1 or more, not {' and '.join(map(str, sizes))}")
    if not isfinite(scale):
        raise ValueError(f"the scale of coordinates is finite, not {scale}")
    if not isfinite(pad):
        raise ValueError(f"the enlargement of boxes is finite, not {pad}")
    if rois.rank < 2 or prod(rois.with_shape(*rois.dims[1:]).shape) != 5:
        raise ValueError(f"the boxes are [r, 5], not {rois}")
    return rois.dims[0], channels


def boxes_in_images(x: Tensor, rois: Tensor) -> Iterator[tuple[int, Tensor]]:
    """For each box its image and its corners [4], in float32 to be rounded as in Caffe. ValueError if x lacks it."""
    for r, (image, *corners) in enumerate(rois.reshape(-1, 5).float().unbind()):
        if not 0 <= int(image) < x.shape[0]:
            raise ValueError(f"box {r} is in image {int(image)}, and there are {x.shape[0]} images")
        yield int(image), torch.stack(corners)


def enlarge(corners: Tensor, pad: float) -> Tensor:
    """The corners [4] of a box, moved outwards by `pad` times its size of xmax - xmin + 1 (mscnn's pad_ratio)."""
    margin = (corners[2:] - corners[:2] + 1) * corners.new_tensor(pad)
    return torch.cat([corners[:2] - margin, corners[2:] + margin])


def pixel(at: Tensor, size: int) -> int:
    """A whole number from 0 to size; 0 for NaN."""
    return int(at.nan_to_num(nan=0.0).clamp(0, size))


def round_half_away(x: Tensor) -> Tensor:
    """C's round: to the nearest integer, halves away from 0."""
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


@op("roi_pool", operands=2)
class RoiPool(Op):
    """The largest features inside each box, in `height` x `width` bins (Girshick 2015; roi_pooling_layer.cpp).

    Operands: features [n, c, h, w], and boxes [r, 5] of image, xmin, ymin, xmax, ymax. The result is
    [r, c, height, width]. A box is enlarged on each side by `pad` times its size (mscnn), its corners are multiplied by
    `scale` and rounded, halves away from 0; it includes both corners, and is at least one pixel wide and high. Bin i of
    k is from floor(i size / k) up to and excluding ceil((i + 1) size / k), clipped to the map; an empty one is 0. NaN
    is below all numbers. ValueError at run time for a box with an image index outside of 0 ... n - 1.
    """

    height: int
    width: int
    scale: float = 1.0
    pad: float = 0.0

    def infer(self, x: TensorType, rois: TensorType) -> TensorType:
        boxes, channels = roi_dims(x, rois, (self.height, self.width), self.scale, self.pad)
        return x.with_shape(boxes, channels, self.height, self.width)

    def reference(self, x: Tensor, rois: Tensor) -> Tensor:
        made = x.new_zeros(rois.shape[0], x.shape[1], self.height, self.width)
        for r, (image, corners) in enumerate(boxes_in_images(x, rois)):
            left, top, right, bottom = round_half_away(enlarge(corners, self.pad) * corners.new_tensor(self.scale))
            rows = [*pool_bins(top, bottom, self.height, x.shape[2])]
            for j, column in enumerate(pool_bins(left, right, self.width, x.shape[3])):
                for i, row in enumerate(rows):
                    if row and column:
                        inside = x[image, :, row.start : row.stop, column.start : column.stop]
                        lowest = torch.where(inside.isnan(), LOWEST_F32, inside).clamp(min=LOWEST_F32)
                        made[r, :, i, j] = lowest.amax((1, 2))
        return made


def pool_bins(start: Tensor, end: Tensor, count: int, size: int) -> Iterator[range]:
    """The pixels of each bin of roi_pool along one axis, from the rounded first and last coordinate of the box."""
    each = (end - start + 1).clamp(min=1) / count
    for i in range(count):
        low, high = (each * i).floor() + start, (each * (i + 1)).ceil() + start
        yield range(pixel(low, size), pixel(high, size))


@op("psroi_pool", operands=2)
class PsRoiPool(Op):
    """Mean features inside each box, each bin from its own channels (Dai et al. 2016, psroi_pooling_layer.cu).

    Operands: features [n, channels * groups^2, h, w], and boxes [r, 5] of image, xmin, ymin, xmax, ymax. The result is
    [r, channels, groups, groups]. The corners are rounded, halves away from 0, one is added to the second, and both are
    multiplied by `scale`; the box is at least 0.1 pixels wide and high. Bin i is from floor(ymin + i size / groups) up
    to and excluding ceil(ymin + (i + 1) size / groups), clipped to the map; an empty one is 0. The bin (i, j) of
    channel c reads channel (c groups + i) groups + j. ValueError at run time for a box with an image index outside of
    0 ... n - 1.
    """

    channels: int
    groups: int
    scale: float = 1.0

    def infer(self, x: TensorType, rois: TensorType) -> TensorType:
        if self.channels < 1 or self.groups < 1:
            raise ValueError(f"channels and groups are 1 or more, not {self.channels} and {self.groups}")
        boxes, channels = roi_dims(x, rois, (self.groups,), self.scale)
        if channels != self.channels * self.groups**2:
            raise ValueError(
                f"{self.channels} channels of {self.groups} x {self.groups} bins need "
                f"{self.channels * self.groups**2} channels, and it has {channels}"
            )
        return x.with_shape(boxes, self.channels, self.groups, self.groups)

    def reference(self, x: Tensor, rois: Tensor) -> Tensor:
        made = x.new_zeros(rois.shape[0], self.channels, self.groups, self.groups)
        for r, (image, corners) in enumerate(boxes_in_images(x, rois)):
            low, high = round_half_away(corners[:2]), round_half_away(corners[2:]) + 1
            left, top, right, bottom = torch.cat([low, high]) * corners.new_tensor(self.scale)
            features = x[image].reshape(self.channels, self.groups, self.groups, *x.shape[2:])
            rows = [*average_bins(top, bottom, self.groups, x.shape[2])]
            for j, column in enumerate(average_bins(left, right, self.groups, x.shape[3])):
                for i, row in enumerate(rows):
                    if row and column:
                        inside = features[:, i, j, row.start : row.stop, column.start : column.stop]
                        made[r, :, i, j] = inside.mean((1, 2))
        return made


def average_bins(start: Tensor, end: Tensor, count: int, size: int) -> Iterator[range]:
    """The pixels of each bin of psroi_pool along one axis, from the ends of the box."""
    each = (end - start).clamp(min=0.1) / count
    for i in range(count):
        low, high = (each * i + start).floor(), (each * (i + 1) + start).ceil()
        yield range(pixel(low, size), pixel(high, size))


@op("roi_grid", operands=2)
class RoiGrid(Op):
    """The features at the corners of the bins of each box (Cai and Vasconcelos 2018, Cascade R-CNN's ROIAlign).

    Operands: features [n, c, h, w], and boxes [r, 5] of image, xmin, ymin, xmax, ymax. A box is enlarged on each side
    by `pad` times its size, and its corners are multiplied by `scale`, minus one half. The result is
    [r, c, height + 1, width + 1]: samples from corner to corner, at equal distances. A sample is interpolated linearly
    between the four pixels around it; it is 0 more than half a pixel outside of the map, and in a box without width or
    height. ValueError at run time for a box with an image index outside of 0 ... n - 1.
    """

    height: int
    width: int
    scale: float = 1.0
    pad: float = 0.0

    def infer(self, x: TensorType, rois: TensorType) -> TensorType:
        boxes, channels = roi_dims(x, rois, (self.height, self.width), self.scale, self.pad)
        return x.with_shape(boxes, channels, self.height + 1, self.width + 1)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return results[0].numel * 8

    def reference(self, x: Tensor, rois: Tensor) -> Tensor:
        made = x.new_zeros(rois.shape[0], x.shape[1], self.height + 1, self.width + 1)
        for r, (image, corners) in enumerate(boxes_in_images(x, rois)):
            left, top, right, bottom = enlarge(corners, self.pad) * corners.new_tensor(self.scale) - 0.5
            if not (bottom > top and right > left):
                continue
            for i in range(self.height + 1):
                h = top + (bottom - top) / self.height * i
                for j in range(self.width + 1):
                    w = left + (right - left) / self.width * j
                    if -0.5 <= h <= x.shape[2] - 0.5 and -0.5 <= w <= x.shape[3] - 0.5:
                        made[r, :, i, j] = interpolate(x[image], h, w)
        return made


def interpolate(x: Tensor, h: Tensor, w: Tensor) -> Tensor:
    """The features [c] at a position of the map x [c, h, w], the nearest within the map."""
    total = x.new_zeros(x.shape[0])
    sides = [[(at.floor(), 1), (at.floor() + 1, 0)] for at in (h, w)]
    for row, flip_h in sides[0]:
        for column, flip_w in sides[1]:
            weights = x.new_ones(())
            for at, floor_at, flip, size in ((h, h.floor(), flip_h, x.shape[1]), (w, w.floor(), flip_w, x.shape[2])):
                beyond = at.clamp(0, size - 1) - floor_at.clamp(0, size - 1)
                weights = weights * (1 - beyond if flip else beyond)
            total += weights * x[:, int(row.clamp(0, x.shape[1] - 1)), int(column.clamp(0, x.shape[2] - 1))]
    return total


SAMPLES = (-0.5, 0.5)  # positions along each axis of a box, whose ends are -1 and 1
MAX_POINTS = 4  # pixels of a bin that are read


@op("roi_align", operands=2)
class RoiAlign(Op):
    """The features inside each box, pooled to `height` x `width` bins (synopsys-caffe, roi_align_layer.cpp).

    Operands: features [n, c, h, w], and boxes [r, 5] of image, xmin, ymin, xmax, ymax, where the coordinates are
    multiplied by `scale`. The result is [r, c, height, width]. A box is enlarged by one pixel, divided into bins, and
    the bins are clipped to the feature map. A bin reads its first four pixels in row-major order; a pixel outside of
    the map is 0. With box coordinates from -1 to 1, there are four samples at (±½, ±½); each is the sum of the pixels,
    weighted by max(0, 1 - distance) along each axis. The result is the largest sample. In a box of no width or height,
    all pixels have coordinate 0 along that axis. (The paper, He et al. 2017, takes the mean of bilinear samples.)
    ValueError at run time for a box with an image index outside of 0 ... n - 1, or with a bin that has an end at NaN.
    """

    height: int
    width: int
    scale: float = 1.0

    def infer(self, x: TensorType, rois: TensorType) -> TensorType:
        boxes, channels = roi_dims(x, rois, (self.height, self.width), self.scale)
        return x.with_shape(boxes, channels, self.height, self.width)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return results[0].numel * len(SAMPLES) ** 2 * 2 * MAX_POINTS

    def reference(self, x: Tensor, rois: Tensor) -> Tensor:
        made = x.new_zeros(rois.shape[0], x.shape[1], self.height, self.width)
        for r, (image, corners) in enumerate(boxes_in_images(x, rois)):
            xmin, ymin, xmax, ymax = corners * corners.new_tensor(self.scale)
            rows = [*bins(ymin, ymax, self.height, x.shape[2])]
            columns = [*bins(xmin, xmax, self.width, x.shape[3])]
            for i, (row, no_height) in enumerate(rows):
                for j, (column, no_width) in enumerate(columns):
                    points = [(h, w) for h in row for w in column][:MAX_POINTS]
                    best = x.new_full((x.shape[1],), 0.0 if no_height or no_width else LOWEST_F32)
                    for sx in SAMPLES:
                        for sy in SAMPLES:
                            total = torch.zeros_like(best)
                            for h, w in points:
                                if h < x.shape[2] and w < x.shape[3]:
                                    total += x[image, :, h, w] * weight(sx, w, xmin, xmax) * weight(sy, h, ymin, ymax)
                            best = torch.where(total > best, total, best)
                    made[r, :, i, j] = best
        return made


def bins(start: Tensor, end: Tensor, count: int, size: int) -> Iterator[tuple[range, bool]]:
    """For each bin along one axis of a box: its pixels, and whether it has no extent."""
    each = (end - start + 1).clamp(min=1) / count
    for i in range(count):
        low, high = ((each * k + start).clamp(0, size) for k in (i, i + 1))
        yield range(ceil(low), floor(high) + 1), bool(high <= low)


def weight(sample: float, pixel: int, start: Tensor, end: Tensor) -> Tensor:
    """The weight of a pixel in a sample, along one axis."""
    at = (2 * (pixel - start) / (end - start) - 1).clamp(-1, 1) if end != start else torch.zeros_like(start)
    return (1 - (sample - at).abs()).clamp(min=0)
