"""Pooling with Caffe's sizes, divisors and masks (pooling_layer.cpp), by torch's pooling where it agrees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, is_finite, pads_per_axis, per_axis, require

LOWEST = torch.finfo(torch.float32).min  # Caffe's initial value of a maximum: -FLT_MAX
MAX_POOL_FUNCTIONS: Sequence[Callable[..., Any]] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVG_POOL_FUNCTIONS: Sequence[Callable[..., Tensor]] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a pooling, one number per image axis: `count` windows, the first `pad` before the image.

    `after` is the padding behind the image.
    """

    sizes: Shape
    kernel: list[int]
    stride: list[int]
    pad: list[int]
    after: list[int]
    count: list[int]
    ceil_mode: bool

    @property
    def is_native(self) -> bool:
        """True if torch has the same windows: it pads by half of one at most, and drops those that start outside."""
        fits = zip(self.sizes, self.kernel, self.stride, self.pad, self.count, strict=True)
        return self.pad == self.after and all(2 * p <= k and (n - 1) * s < i + p for i, k, s, p, n in fits)

    def strided_copy_slices(self) -> tuple[slice, ...] | None:
        """The slices of [n, c, ...] that pooling copies if all windows are single elements of the image; else None."""
        axes = list(zip(self.sizes, self.kernel, self.stride, self.count, strict=True))
        if any(self.pad) or any(k != 1 or (n - 1) * s >= i for i, k, s, n in axes):
            return None
        return (slice(None), slice(None), *(slice(0, (n - 1) * s + 1, s) for _, _, s, n in axes))

    def tiling_padding(self) -> list[int]:
        """F.pad's argument that makes the windows cover the image exactly; negative where it has to be cropped."""
        made = list[int]()
        for i, k, s, p, n in zip(self.sizes, self.kernel, self.stride, self.pad, self.count, strict=True):
            made[:0] = [p, (n - 1) * s + k - p - i]
        return made

    def divisors(self, dtype: torch.dtype, include_pad: bool) -> list[Tensor]:
        """By axis, the length of each window clipped to the padded image, or to the image: factors of the divisor."""
        made = []
        axes = zip(self.sizes, self.kernel, self.stride, self.pad, self.after, self.count, strict=True)
        for i, k, s, p, q, n in axes:
            starts = [w * s - p for w in range(n)]
            lengths = [min(a + k, i + q) - a if include_pad else min(a + k, i) - max(a, 0) for a in starts]
            made.append(torch.tensor(lengths, dtype=dtype))
        return made


def windows_of(attributes: Mapping[str, Any], x: Shape) -> Windows:
    """Caffe's window count: rounded up (or down); with padding, minus a last window that starts in the padding.

    What is beyond the padded image is cut off the kernel, and the stride leads to just beyond it at most: windows then
    have the same elements, and need no padding in memory for what is far outside.
    """
    require(3 <= len(x) <= 5, f"it takes one to three image axes, not {list(x)}")
    sizes, axes, up = x[2:], len(x) - 2, attributes["round"] == "up"
    kernel = list(sizes) if attributes["kernel"] is None else per_axis(attributes["kernel"], axes, 1, "kernel")
    stride, (pad, after) = per_axis(attributes["stride"], axes, 1, "stride"), pads_per_axis(attributes["pad"], axes)
    count = []
    for i, k, s, p, q in zip(sizes, kernel, stride, pad, after, strict=True):
        sound = k >= 1 and s >= 1 and 0 <= p < k and 0 <= q < k and i >= 1
        require(sound, f"kernel {k}, stride {s}, pad {p} and {q} are invalid")
        room = i + p + q - k
        n = (-(-room // s) if up else room // s) + 1
        if any([*pad, *after]) and (n - 1) * s >= i + p:
            n -= 1
        require(n >= 1, f"a window of {k} does not fit into an image of {i}")
        count.append(n)
    whole = [i + p + q for i, p, q in zip(sizes, pad, after, strict=True)]
    kernel = [min(k, n) for k, n in zip(kernel, whole, strict=True)]
    stride = [min(s, n + 1) for s, n in zip(stride, whole, strict=True)]
    return Windows(sizes, kernel, stride, pad, after, count, up)


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    return [(*x[:2], *windows_of(attributes, x).count)] * len(planned)


def prepare_max(call: CallSite) -> Run:
    """The largest that is above -FLT_MAX: what is not, NaN among it, is never taken, and a window of it is -FLT_MAX."""
    windows, axes = windows_of(call.attributes, call.operands[0].shape), len(call.operands[0].shape) - 2
    pool, native, padding = MAX_POOL_FUNCTIONS[axes - 1], windows.is_native, windows.tiling_padding()
    whole = not any(windows.pad) and all(
        n == 1 and k >= i for n, k, i in zip(windows.count, windows.kernel, windows.sizes, strict=True)
    )
    options = {"padding": windows.pad, "ceil_mode": windows.ceil_mode} if native else {}
    image, slices = tuple(range(2, 2 + axes)), windows.strided_copy_slices()
    dtype = call.operands[0].dtype
    lowest = max(LOWEST, torch.finfo(dtype).min)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        pool_numbers(results, operands[0])
        if not is_finite(results[0]) and results[0].isnan().any():  # torch's maximum of a window with NaN is NaN
            pool_numbers(results, operands[0].nan_to_num(nan=lowest, posinf=inf, neginf=lowest))

    def pool_numbers(results: Sequence[Tensor], x: Tensor) -> None:
        if len(results) == 2:
            padded = x if native else F.pad(x, padding, value=lowest)
            made, indices = pool(padded, windows.kernel, windows.stride, return_indices=True, **options)
            indices = indices if native else unpad_indices(indices, padded.shape[2:], windows)
            results[1].copy_(indices.masked_fill(made <= lowest, -1))
        elif slices:
            made = x[slices]
        elif whole:
            made = x.amax(image, keepdim=True)
        else:
            padded = x if native else F.pad(x, padding, value=lowest)
            made = pool(padded, windows.kernel, windows.stride, **options)
        torch.clamp(made, min=lowest, out=results[0])

    return run


def unpad_indices(indices: Tensor, padded: Sequence[int], windows: Windows) -> Tensor:
    """Row-major indices in the padded plane to indices in the image; -1, as in Caffe, for a maximum in the padding."""
    made, inside, factor = torch.zeros_like(indices), torch.ones_like(indices, dtype=torch.bool), 1
    for outer, i, p in reversed(list(zip(padded, windows.sizes, windows.pad, strict=True))):
        along = indices % outer - p
        indices = indices // outer
        inside &= (along >= 0) & (along < i)
        made += along * factor
        factor *= i
    return made.where(inside, -1)


def prepare_avg(call: CallSite) -> Run:
    x, include_pad = call.operands[0], call.attributes["include_pad"]
    windows, axes = windows_of(call.attributes, x.shape), len(x.shape) - 2
    pool, padding, image = AVG_POOL_FUNCTIONS[axes - 1], windows.tiling_padding(), tuple(range(2, 2 + axes))
    area = 1
    for k in windows.kernel:
        area *= k

    def run_native(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        made = pool(operands[0], windows.kernel, windows.stride, windows.pad, windows.ceil_mode, include_pad)
        results[0].copy_(made)

    def run_whole(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        results[0].copy_(operands[0].mean(image, keepdim=True))

    def run_strided_copy(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        results[0].copy_(operands[0][slices])

    lengths = windows.divisors(x.dtype, include_pad)

    def run_padded(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        made = pool(F.pad(operands[0], padding), windows.kernel, windows.stride).mul_(area)
        for axis, divisor in enumerate(lengths):
            made /= divisor.view(-1, *[1] * (axes - 1 - axis))
        results[0].copy_(made)

    if (slices := windows.strided_copy_slices()) is not None:
        return run_strided_copy
    if windows.kernel == list(windows.sizes) and not any([*windows.pad, *windows.after]):
        return run_whole
    # torch rejects a volume smaller than the window, even if padding would fill it
    native = windows.is_native and (axes < 3 or all(k <= i for k, i in zip(windows.kernel, windows.sizes, strict=True)))
    return run_native if native else run_padded


def prepare_stochastic(call: CallSite) -> Run:
    """Σ x² / Σ x of each window, 0 where Σ x <= 0 or NaN: as a quotient of two averages, whose divisors cancel."""
    x = call.operands[0].shape
    windows, pool = windows_of(call.attributes, x), AVG_POOL_FUNCTIONS[len(x) - 3]
    require(not any([*windows.pad, *windows.after]), "stochastic pooling has no padding")
    padding = windows.tiling_padding()

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        padded = F.pad(operands[0], padding)
        total = pool(padded, windows.kernel, windows.stride)
        made = pool(padded * padded, windows.kernel, windows.stride).div_(total)
        results[0].copy_(made.masked_fill_(~(total > 0), 0.0))

    return run


MAX_POOL = Primitive(prepare_max, infer_shapes)
AVG_POOL = Primitive(prepare_avg, infer_shapes)
STOCHASTIC_POOL = Primitive(prepare_stochastic, infer_shapes)
