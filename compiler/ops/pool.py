"""Pooling, with Caffe's output sizes (pooling_layer.cpp)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ..op import Ints, Op, Trait, op, pads_per_axis, per_axis
from ..types import TensorType
from .image import bound_like, require_int, split_bounded_image, split_image_dims


class Window(NamedTuple):
    """The windows along one image axis of length `size`; the first starts `pad` elements before the image.

    `after` is the padding behind the image.
    """

    size: int
    kernel: int
    stride: int
    pad: int
    after: int
    window_count: int

    def stop(self, i: int) -> int:
        """The end of window i, clipped to the padded image; Caffe's divisor of an average counts up to there."""
        return min(i * self.stride - self.pad + self.kernel, self.size + self.after)

    def divisors(self, include_pad: bool) -> list[int]:
        """The length of each window inside the padded image or, without `include_pad`, inside the image."""
        starts = [i * self.stride - self.pad for i in range(self.window_count)]
        if include_pad:
            return [self.stop(i) - start for i, start in enumerate(starts)]
        return [min(self.stop(i), self.size) - max(start, 0) for i, start in enumerate(starts)]


class Pool(Op):
    """Base class of poolings: attributes and sizes of the windows."""

    kernel: Ints | None = None
    stride: Ints = (1,)
    pad: Ints = (0,)
    round: str = "up"
    traits = frozenset({Trait.READS_ANY_LAYOUT, Trait.ANY_SIZE})

    def windows(self, sizes: tuple[int, ...]) -> tuple[Window, ...]:
        """The windows along each image axis. ValueError if the attributes are invalid or a window does not fit."""
        if self.round not in ("up", "down"):
            raise ValueError(f'round is "up" or "down", not "{self.round}"')
        axes = len(sizes)
        kernel = sizes if self.kernel is None else per_axis(self.kernel, axes, "kernel")
        stride, pads = per_axis(self.stride, axes, "stride"), pads_per_axis(self.pad, axes)
        made = []
        for i, k, s, p, q in zip(sizes, kernel, stride, *pads, strict=True):
            if k < 1 or s < 1 or min(p, q) < 0 or max(p, q) >= k:
                pad = p if p == q else f"{p} and {q}"
                raise ValueError(f"kernel {k}, stride {s}, pad {pad}: stride is 1 or more, pad is less than the kernel")
            travel = i + p + q - k
            if travel < 0 and (self.round == "down" or travel <= -s):
                raise ValueError(f"a window of {k} does not fit into an image of {i} padded to {i + p + q}")
            count = (-(-travel // s) if self.round == "up" else travel // s) + 1
            if any(map(any, pads)) and (count - 1) * s >= i + p:
                count -= 1  # the last window would start in the padding
            made.append(Window(i, k, s, p, q, count))
        return tuple(made)

    def result_type(self, x: TensorType) -> TensorType:
        n, c, sizes = split_bounded_image(x)
        windows = self.windows(sizes)
        require_int(
            prod((*x.bounds[:2], *(w.size + w.pad + w.after for w in windows))), "the numbers of the padded images"
        )
        counts = [w.window_count for w in windows]
        return x.with_shape(n, c, *(counts if self.kernel is None else bound_like(x, counts)))

    def window_size(self, x: TensorType) -> int:
        """The number of elements of one window."""
        return prod(w.kernel for w in self.windows(x.bounds[2:]))

    def extract_windows(self, x: Tensor, fill: float) -> Tensor:
        """The elements of all windows, [n, c, windows..., prod(kernel)]; `fill` outside of the image."""
        windows = self.windows(tuple(x.shape[2:]))
        for axis, w in enumerate(windows, 2):
            after = (w.window_count - 1) * w.stride + w.kernel - w.pad - w.size
            edges = [0, 0] * (x.ndim - 1 - axis) + [w.pad, max(after, 0)]
            x = torch.nn.functional.pad(x, edges, value=fill)
        for axis, w in enumerate(windows, 2):
            x = x.unfold(axis, w.kernel, w.stride).narrow(axis, 0, w.window_count)
        return x.flatten(2 + len(windows))


@op("max_pool")
class MaxPool(Pool):
    """The maximum of each window; elements outside of the image do not count, nor does NaN.

    It is the largest above -FLT_MAX, compared by `>` (Caffe, pooling_layer.cpp): a window without any is -FLT_MAX, and
    -1 in the mask.

    Without `kernel` the window is the whole image. `pad` is one number, one per axis, or two: all before, then all
    after the image. Sizes are rounded up, as in Caffe, or down with `round="down"` (Caffe's FLOOR); with padding, a
    last window that would start in the padding is dropped. With `mask` there is a
    second result of the same shape: the row-major index in the image of each maximum, the first of equal ones, as a
    float; its dtype is f32 for an f16 image, since f16 holds integers exactly only up to 2048.
    """

    kernel: Ints | None = None
    stride: Ints = (1,)
    pad: Ints = (0,)
    round: str = "up"
    mask: bool = False

    def infer(self, x: TensorType) -> TensorType | tuple[TensorType, ...]:
        made = self.result_type(x)
        return (made, replace(made, dtype="f32") if x.dtype == "f16" else made) if self.mask else made

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return results[0].numel * self.window_size(operands[0])

    def reference(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        lowest = max(torch.finfo(torch.float32).min, torch.finfo(x.dtype).min)
        laid = self.extract_windows(x, lowest)
        laid = torch.where(laid > lowest, laid, lowest)
        largest, where = laid.max(-1).values, laid.argmax(-1, keepdim=True)
        if not self.mask:
            return largest
        counts = torch.float32 if x.dtype == torch.float16 else x.dtype
        index = torch.arange(prod(x.shape[2:]), dtype=counts, device=x.device).reshape(1, 1, *x.shape[2:])
        places = self.extract_windows(index, -1).expand(laid.shape)
        return largest, torch.where(largest > lowest, places.gather(-1, where).squeeze(-1), -1.0)


@op("avg_pool")
class AvgPool(Pool):
    """The mean of each window, with padding counted as zeros.

    Sizes as in max_pool. As in Caffe, the divisor is the size of the window clipped to the *padded* image: a window
    that exceeds it has a divisor below its size. Without `include_pad` the window is clipped to the image.
    """

    kernel: Ints | None = None
    stride: Ints = (1,)
    pad: Ints = (0,)
    round: str = "up"
    include_pad: bool = True

    def infer(self, x: TensorType) -> TensorType:
        return self.result_type(x)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return results[0].numel * self.window_size(operands[0])

    def reference(self, x: Tensor) -> Tensor:
        total = self.extract_windows(x, 0.0).sum(-1)
        for axis, w in enumerate(self.windows(tuple(x.shape[2:])), 2):
            divisors = torch.tensor(w.divisors(self.include_pad), dtype=x.dtype, device=x.device)
            total = total / divisors.reshape(-1, *[1] * (x.ndim - 1 - axis))
        return total


@op("stochastic_pool")
class StochasticPool(Pool):
    """The mean of each window, weighted by its elements: Σ x² / Σ x, or 0 where Σ x is not above 0.

    It is what Caffe's STOCHASTIC pooling computes in the TEST phase: the expectation of the training phase's sample
    (Zeiler and Fergus 2013). Caffe has it on the GPU only, without padding (pooling_layer.cu, StoPoolForwardTest).
    """

    kernel: Ints | None = None
    stride: Ints = (1,)
    round: str = "up"

    def infer(self, x: TensorType) -> TensorType:
        return self.result_type(x)

    def reference(self, x: Tensor) -> Tensor:
        laid = self.extract_windows(x, 0.0)
        total = laid.sum(-1)
        return torch.where(total > 0, (laid * laid).sum(-1) / total, 0.0)


@op("pyramid_pool")
class PyramidPool(Op):
    """Spatial pyramid pooling: the flattened results of `height` poolings, concatenated: [n, c · windows].

    Level l has 2ˡ windows along each image axis, of size ceil(size / 2ˡ), with symmetric padding (He et al. 2014;
    Caffe, spp_layer.cpp). For a small image there can be fewer: a window that would start in the padding is dropped.
    `mode` is "max" or "avg".
    """

    height: int
    mode: str = "max"

    def levels(self, sizes: tuple[int, ...]) -> list[Pool]:
        """The pooling of each level, from one window on. ValueError if the image is too small for a level."""
        made = POOL_CLASSES.get(self.mode)
        if made is None:
            raise ValueError(f'mode is {" or ".join(POOL_CLASSES)}, not "{self.mode}"')
        if self.height < 1:
            raise ValueError(f"height is 1 or more, not {self.height}")
        levels = []
        for level in range(self.height):
            kernel = tuple(-(-size >> level) for size in sizes)
            pad = tuple(((k << level) - size + 1) // 2 for k, size in zip(kernel, sizes, strict=True))
            if any(p >= k for p, k in zip(pad, kernel, strict=True)):
                raise ValueError(f"an image of {list(sizes)} cannot be divided by {2**level}: a window would be empty")
            levels.append(made(kernel=kernel, stride=kernel, pad=pad))
        return levels

    def infer(self, x: TensorType) -> TensorType:
        n, c, sizes = split_image_dims(x)
        windows = [prod(w.window_count for w in level.windows(sizes)) for level in self.levels(sizes)]
        return x.with_shape(n, c * sum(windows))

    def reference(self, x: Tensor) -> Tensor:
        levels = self.levels(tuple(x.shape[2:]))
        return torch.cat([level.compute([x])[0].flatten(1) for level in levels], 1)


POOL_CLASSES: dict[str, Callable[..., Pool]] = {"max": MaxPool, "avg": AvgPool}
