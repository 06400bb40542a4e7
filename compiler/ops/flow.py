"""Operators of optical flow: images correlated, warped and resampled (Dosovitskiy et al. 2015, FlowNet)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from ..op import Op, op
from ..types import Dim, TensorType
from .image import split_image_dims


def planar_dims(x: TensorType) -> tuple[Dim, int, int, int]:
    """Batch, channels, height and width of [n, c, h, w]. ValueError for another rank."""
    if x.rank != 4:
        raise ValueError(f"takes images [n, c, h, w], not {x}")
    n, c, (h, w) = split_image_dims(x)
    return n, c, h, w


@op("correlation", operands=2)
class Correlation(Op):
    """How alike two images are at each place for each displacement (FlowNet, correlation_layer.cu).

    Operands: images [n, c, h, w] of one shape, padded with `pad` zeros on each side. The displacements along an axis
    are the multiples of `step` up to `displacement`; the result has a channel for each pair, the vertical one first. A
    number is the mean over the channels of a window of `kernel` x `kernel` of the product or, with `difference`, of the
    absolute difference of the first image and the displaced second. The windows are `stride` apart, and the first
    begins `displacement` behind the edge; there are ceil((h + 2 pad - 2 displacement - kernel + 1) / stride) rows.
    """

    displacement: int
    kernel: int = 1
    stride: int = 1
    step: int = 1
    pad: int = 0
    difference: bool = False

    @property
    def shifts(self) -> list[int]:
        radius = self.displacement // self.step
        return [self.step * i for i in range(-radius, radius + 1)]

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        n, _, *sizes = planar_dims(a)
        if a.dims != b.dims:
            raise ValueError(f"the images have one shape, and are {a} and {b}")
        if min(self.kernel, self.stride, self.step) < 1 or min(self.displacement, self.pad) < 0:
            raise ValueError("kernel, stride and step are 1 or more, displacement and pad 0 or more")
        if self.kernel % 2 == 0:
            raise ValueError(f"the kernel is odd, not {self.kernel}")
        counts = [self.window_count(size) for size in sizes]
        if min(counts) < 1:
            raise ValueError(f"the windows and displacements do not fit into images of {sizes}")
        return a.with_shape(n, len(self.shifts) ** 2, *counts)

    def window_count(self, size: int) -> int:
        return -(-(size + 2 * self.pad - 2 * self.displacement - self.kernel + 1) // self.stride)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 2 * results[0].numel * operands[0].bounds[1] * self.kernel**2

    def reference(self, a: Tensor, b: Tensor) -> Tensor:
        first, k = self.displacement, self.kernel
        high, wide = ((self.window_count(size) - 1) * self.stride + k for size in a.shape[2:])
        a, b = (F.pad(image, [self.pad] * 4) for image in (a, b))
        here, made = a[:, :, first : first + high, first : first + wide], list[Tensor]()
        for dy in self.shifts:
            for dx in self.shifts:
                there = b[:, :, first + dy : first + dy + high, first + dx : first + dx + wide]
                alike = (here - there).abs() if self.difference else here * there
                windows = alike.sum(1).unfold(1, k, self.stride).unfold(2, k, self.stride)
                made.append(windows.sum((3, 4)) / (k * k * a.shape[1]))
        return torch.stack(made, 1)


@op("flow_warp", operands=2)
class FlowWarp(Op):
    """The image at the places that a flow points to, bilinear (FlowNet 2, flow_warp_layer.cpp).

    Operands: an image [n, c, h, w] and a flow [n, 2, h, w], whose channels are the shifts in x and y in pixels. A place
    outside of the image, or NaN, is `fill`: "zero" or "nan". Past the last row or column its pixels are repeated.
    """

    fill: str = "zero"

    def infer(self, image: TensorType, flow: TensorType) -> TensorType:
        n, _, h, w = planar_dims(image)
        if flow.dims != (n, 2, h, w):
            raise ValueError(f"the flow is [n, 2, h, w] for an image {image}, not {flow}")
        if self.fill not in ("zero", "nan"):
            raise ValueError(f'fill is "zero" or "nan", not "{self.fill}"')
        return image

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 7 * results[0].numel

    def reference(self, image: Tensor, flow: Tensor) -> Tensor:
        n, _, h, w = image.shape
        made = torch.full_like(image, 0.0 if self.fill == "zero" else torch.nan)
        for i in range(n):
            x = torch.arange(w, dtype=flow.dtype) + flow[i, 0]
            y = torch.arange(h, dtype=flow.dtype)[:, None] + flow[i, 1]
            inside = (x >= 0) & (y >= 0) & (x < w) & (y < h)
            left, top = x[inside].long(), y[inside].long()
            right, bottom = (left + 1).clamp(max=w - 1), (top + 1).clamp(max=h - 1)
            alpha, beta = x[inside] - left, y[inside] - top
            made[i][:, inside] = (
                (1 - alpha) * (1 - beta) * image[i][:, top, left]
                + alpha * (1 - beta) * image[i][:, top, right]
                + (1 - alpha) * beta * image[i][:, bottom, left]
                + alpha * beta * image[i][:, bottom, right]
            )
        return made


@op("resample", operands=(1, 2))
class Resample(Op):
    """Images of other `sizes`, height and width, as FlowNet 2 computes them (resample_layer.cu).

    If there is a second image, the result has its sizes.

    The place of a result along x is x * fx + fy / 2 - 1/2, and y * fy + fx / 2 - 1/2 along y, where fx and fy are the
    quotients of the sizes: with fy in x and fx in y, as in its code. `filter` is "nearest", "linear" or "cubic": a mean
    of the pixels around, weighted by a triangle or a cubic (Keys 1981, a = -1/2) of the distance; with `antialias` the
    distance is divided by fx and fy if one is above 1. "nearest" reads a place beyond a row's end in the next row.
    """

    sizes: tuple[int, ...] = ()
    filter: str = "linear"
    antialias: bool = True

    def infer(self, x: TensorType, like: TensorType | None = None) -> TensorType:
        if like is not None:
            return replace(self, sizes=planar_dims(like)[2:]).infer(x)
        n, c, *sizes = planar_dims(x)
        if len(self.sizes) != 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes are a height and a width of 1 or more, not {list(self.sizes)}")
        if self.filter not in ("nearest", "linear", "cubic"):
            raise ValueError(f'filter is "nearest", "linear" or "cubic", not "{self.filter}"')
        if self.filter == "nearest":
            places = self.nearest_places(sizes, [torch.tensor([0.0, o - 1]) for o in self.sizes])  # they never fall
            if int(places.min()) < 0 or int(places.max()) >= sizes[0] * sizes[1]:
                raise ValueError(f"from {sizes} to {list(self.sizes)} the fork reads outside of the image")
        return x.with_shape(n, c, *self.sizes)

    def positions(
        self, sizes: Sequence[int], results: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, list[float]]:
        """The places of rows and of columns in f32, and the quotients of the sizes.

        `results` are the rows and the columns of the result that are asked for (default: all).
        """
        fy, fx = (torch.tensor(i, dtype=torch.float32) / o for i, o in zip(sizes, self.sizes, strict=True))
        rows, columns = results or [torch.arange(o, dtype=torch.float32) for o in self.sizes]
        return rows * fy + fx / 2 - 0.5, columns * fx + fy / 2 - 0.5, [float(fy), float(fx)]

    def nearest_places(self, sizes: Sequence[int], results: Sequence[Tensor] | None = None) -> Tensor:
        """The place that each result reads, in the rows of a plane, one after another; `results` as in positions."""
        rows, columns, _ = self.positions(sizes, results)
        return round_away(rows)[:, None] * sizes[1] + round_away(columns)

    def reference(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        if like is not None:
            return replace(self, sizes=tuple(like.shape[2:])).reference(x)
        sizes = list(x.shape[2:])
        if self.filter == "nearest":
            return x.flatten(2)[:, :, self.nearest_places(sizes)]
        rows, columns, ratios = self.positions(sizes)
        shrinks = self.antialias and max(ratios) > 1
        (ys, down), (xs, across) = (
            self.taps(place, ratio, size, shrinks)
            for place, ratio, size in zip((rows, columns), ratios, sizes, strict=True)
        )
        total, weight = x.new_zeros(*x.shape[:2], *self.sizes), x.new_zeros(self.sizes)
        for j in range(ys.shape[1]):
            for i in range(xs.shape[1]):
                w = (down[:, j, None] * across[:, i]).to(x.dtype)
                inside = (ys[:, j, None] >= 0) & (ys[:, j, None] < sizes[0]) & (xs[:, i] >= 0) & (xs[:, i] < sizes[1])
                pixels = x[:, :, ys[:, j].clamp(0, sizes[0] - 1)[:, None], xs[:, i].clamp(0, sizes[1] - 1)]
                total += torch.where(inside, w * pixels, 0.0)
                weight += torch.where(inside, w, 0.0)
        return torch.where(weight == 0, 0.0, total / weight)

    def taps(self, places: Tensor, ratio: float, size: int, shrinks: bool) -> tuple[Tensor, Tensor]:
        """For each place the pixels around it, perhaps outside of the image, and their weights: [results, pixels]."""
        by = torch.tensor(1.0) / (ratio if shrinks else 1.0)
        reach = 2 if ratio < 1 else ceil(float(torch.tensor(4.0 if self.filter == "cubic" else 2.0) / by))
        pixels = round_away(places)[:, None] + torch.arange(-reach, reach + 1)
        distance = by * (places[:, None] - pixels)
        return pixels, by * (cubic(distance) if self.filter == "cubic" else (1 - distance.abs()).clamp(min=0))


def round_away(x: Tensor) -> Tensor:
    """The nearest integers, halves away from 0, as C's round."""
    return (x.double() + torch.where(x < 0, -0.5, 0.5)).trunc().long()


def cubic(x: Tensor) -> Tensor:
    x = x.abs()
    far = torch.where(x < 2, x * (x * (-0.5 * x + 2.5) - 4) + 2, 0.0)
    return torch.where(x <= 1, x * x * (1.5 * x - 2.5) + 1, far)
