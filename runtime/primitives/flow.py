"""Optical flow (FlowNet): correlation of images, warping along a flow, and resampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, nan
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, require

Attributes = Mapping[str, Any]
PlannedDims = Sequence[Sequence[Dim]]


def require_images(*shapes: Shape) -> None:
    for shape in shapes:
        require(len(shape) == 4 and min(shape[1:]) >= 1, f"it takes images [n, c, h, w], not {list(shape)}")


def infer_correlation_shapes(
    attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims
) -> Sequence[Shape]:
    a, b = operands
    require_images(a, b)
    require(a == b, f"the images have one shape, and are {list(a)} and {list(b)}")
    k, reach, step, pad = (attributes[name] for name in ("kernel", "displacement", "step", "pad"))
    sound = min(k, step, attributes["stride"]) >= 1 and k % 2 == 1 and min(reach, pad) >= 0
    require(
        sound, f"kernel {k}, stride {attributes['stride']}, step {step}, displacement {reach} and pad {pad} are invalid"
    )
    counts = [-(-(size + 2 * pad - 2 * reach - k + 1) // attributes["stride"]) for size in a[2:]]
    require(min(counts) >= 1, f"the windows do not fit into {list(a)}")
    return [(a[0], (2 * (reach // step) + 1) ** 2, *counts)]


def prepare_correlation(call: CallSite) -> Run:
    """For each vertical displacement, sums over the channels for all horizontal ones; then sums over the windows."""
    k, reach, step, stride = (call.attributes[name] for name in ("kernel", "displacement", "step", "stride"))
    pad, channels = call.attributes["pad"], call.operands[0].shape[1]
    high, wide = ((count - 1) * stride + k for count in call.results[0].shape[2:])
    shifts = [step * i for i in range(-(reach // step), reach // step + 1)]
    sum_row = sum_differences if call.attributes["difference"] else sum_products

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        a, b = (F.pad(image, [pad] * 4).permute(0, 2, 3, 1).contiguous() for image in operands)
        here = a[:, reach : reach + high, reach : reach + wide].contiguous()  # once, not in each product
        for i, dy in enumerate(shifts):
            sums = sum_row(here, b[:, reach + dy : reach + dy + high], [reach + dx for dx in shifts])
            if k > 1 or stride > 1:
                sums = sums.unfold(2, k, stride).unfold(3, k, stride).sum((4, 5))
            results[0][:, i * len(shifts) : (i + 1) * len(shifts)].copy_(sums / (k * k * channels))

    return run


def sum_products(a: Tensor, b: Tensor, starts: Sequence[int]) -> Tensor:
    """[n, starts, h, w]: for images [n, h, w, c] and [n, h, W, c], the products of pixels x and start + x.

    A matrix product of two rows holds those of all pairs of their pixels; its diagonals are the results.
    """
    pairs = torch.matmul(a, b.transpose(2, 3))
    image, row, pixel, _ = pairs.stride()
    step = starts[1] - starts[0] if len(starts) > 1 else 1
    bands = pairs.as_strided((*a.shape[:3], len(starts)), (image, row, pixel + 1, step), starts[0])
    return bands.permute(0, 3, 1, 2)


def sum_differences(a: Tensor, b: Tensor, starts: Sequence[int]) -> Tensor:
    """As sum_products, with absolute differences."""
    made = [(a - b[:, :, start : start + a.shape[2]]).abs().sum(3) for start in starts]
    return torch.stack(made, 1)


def infer_flow_warp_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    image, flow = operands
    require_images(image, flow)
    require(flow == (image[0], 2, *image[2:]), f"a flow {list(flow)} does not fit an image {list(image)}")
    require(attributes["fill"] in ("zero", "nan"), f"fill is zero or nan, not {attributes['fill']}")
    return [image]


def prepare_flow_warp(call: CallSite) -> Run:
    """All places at once: those outside of the image read its first pixel, and are replaced."""
    fill = 0.0 if call.attributes["fill"] == "zero" else nan
    high, wide = call.operands[0].shape[2:]
    columns, rows = torch.arange(wide), torch.arange(high)[:, None]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        image, flow = operands
        n, c = image.shape[:2]
        x, y = columns + flow[:, 0], rows + flow[:, 1]
        inside = (x >= 0) & (y >= 0) & (x < wide) & (y < high)
        x, y = x.where(inside, 0.0), y.where(inside, 0.0)
        left, top = x.long(), y.long()
        right, bottom = (left + 1).clamp(max=wide - 1), (top + 1).clamp(max=high - 1)
        alpha, beta = (x - left)[:, None], (y - top)[:, None]
        pixels = image.reshape(n, c, high * wide)

        def at(row: Tensor, column: Tensor) -> Tensor:
            places = (row * wide + column).reshape(n, 1, high * wide).expand(n, c, high * wide)
            return pixels.gather(2, places).view(image.shape)

        made = (1 - alpha) * (1 - beta) * at(top, left)
        made += alpha * (1 - beta) * at(top, right)
        made += (1 - alpha) * beta * at(bottom, left)
        made += alpha * beta * at(bottom, right)
        results[0].copy_(made.where(inside[:, None], fill))

    return run


def infer_resample_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    x, sizes = operands[0], result_sizes(attributes, operands)
    require_images(*operands)
    require(len(sizes) == 2 and min(sizes) >= 1, f"sizes are a height and a width, not {sizes}")
    require(attributes["filter"] in ("nearest", "linear", "cubic"), f"there is no filter {attributes['filter']}")
    if attributes["filter"] == "nearest":
        places = nearest_places(x, sizes)
        require(int(places.min()) >= 0 and int(places.max()) < x[2] * x[3], f"a place is outside of {list(x)}")
    return [(*x[:2], *sizes)]


def result_sizes(attributes: Attributes, operands: Sequence[Shape]) -> Sequence[int]:
    """Those of the second operand, if there is one."""
    sizes: Sequence[int] = attributes["sizes"] if len(operands) < 2 else operands[1][2:]
    return sizes


def nearest_places(x: Shape, sizes: Sequence[int]) -> Tensor:
    """The place in a plane of each result, [height * width]."""
    rows, columns, _ = positions(x, sizes)
    return (rounded(rows)[:, None] * x[3] + rounded(columns)).flatten()


def positions(x: Shape, sizes: Sequence[int]) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """The places of the results along both axes, and the quotients of the sizes, in f32 as in the fork."""
    fy, fx = (torch.tensor(old, dtype=torch.float32) / new for old, new in zip(x[2:], sizes, strict=True))
    rows, columns = (torch.arange(new, dtype=torch.float32) for new in sizes)
    return rows * fy + fx / 2 - 0.5, columns * fx + fy / 2 - 0.5, (float(fy), float(fx))


def rounded(x: Tensor) -> Tensor:
    """The nearest whole numbers, halves away from 0."""
    return (x.double() + torch.copysign(torch.tensor(0.5), x)).trunc().long()


def axis_weights(places: Tensor, ratio: float, size: int, cubic: bool, shrinks: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Along one axis: the pixels around each place, [results, pixels], their weights, and which of them are inside."""
    by = torch.tensor(1.0) / (ratio if shrinks else 1.0)
    reach = 2 if ratio < 1 else ceil(float((4.0 if cubic else 2.0) / by))
    pixels = rounded(places)[:, None] + torch.arange(-reach, reach + 1)
    away = (by * (places[:, None] - pixels)).abs()
    near = away * away * (1.5 * away - 2.5) + 1 if cubic else 1 - away
    far = away * (away * (-0.5 * away + 2.5) - 4) + 2 if cubic else torch.zeros_like(away)
    inside = (pixels >= 0) & (pixels < size)
    weights = by * torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))
    return pixels.clamp(0, size - 1), torch.where(inside, weights, 0.0), inside


def prepare_resample(call: CallSite) -> Run:
    """The weights of a pixel are a product of one for its row and one for its column: one axis after the other."""
    x, filter = call.operands[0], call.attributes["filter"]
    sizes = result_sizes(call.attributes, [operand.shape for operand in call.operands])
    if filter == "nearest":
        flat, shape = nearest_places(x.shape, sizes), call.results[0].shape[1:]

        def run_nearest(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
            results[0].copy_(operands[0].flatten(2)[:, :, flat].view(-1, *shape))

        return run_nearest
    rows, columns, ratios = positions(x.shape, sizes)
    shrinks = call.attributes["antialias"] and max(ratios) > 1
    axes = [
        axis_weights(place, ratio, size, filter == "cubic", shrinks)
        for place, ratio, size in zip((rows, columns), ratios, x.shape[2:], strict=True)
    ]
    total = (axes[0][1].sum(1)[:, None] * axes[1][1].sum(1)).to(x.dtype)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        made = operands[0]
        for axis in (3, 2):
            pixels, weights, inside = axes[axis - 2]
            ones = [1] * (3 - axis)
            sums = torch.zeros(())
            for tap in range(pixels.shape[1]):
                part = made.index_select(axis, pixels[:, tap]) * weights[:, tap].to(made.dtype).view(-1, *ones)
                sums = sums + part.where(inside[:, tap].view(-1, *ones), 0.0)
            made = sums
        results[0].copy_((made / total).where(total != 0, 0.0))

    return run


CORRELATION = Primitive(prepare_correlation, infer_correlation_shapes)
FLOW_WARP = Primitive(prepare_flow_warp, infer_flow_warp_shapes)
RESAMPLE = Primitive(prepare_resample, infer_resample_shapes)
