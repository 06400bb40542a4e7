"""Convolution, transposed convolution and im2col."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

from torch import Tensor
from torch.nn import functional as F

from ..op import Ints, Op, Trait, op, pads_per_axis, per_axis
from ..types import TensorType
from .image import bound_like, plural, require_int, split_bounded_image
from .weighted import Weighted

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
DECONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


class Geometry(Op):
    """Base class of operators with stride, pad and dilation, which they declare as attributes."""

    stride: Ints
    pad: Ints
    dilation: Ints

    def geometry(self, axes: int) -> tuple[Ints, Ints, Ints]:
        """Stride, pad and dilation, one number for each image axis; two in pad where the sides differ."""
        before, after = self.pads(axes)
        pad = before if before == after else (*before, *after)
        return per_axis(self.stride, axes, "stride"), pad, per_axis(self.dilation, axes, "dilation")

    def pads(self, axes: int) -> tuple[Ints, Ints]:
        """The padding before and after each image axis."""
        return pads_per_axis(self.pad, axes)

    def window_axes(self, sizes: Sequence[int], window: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        """For each image axis: size, stride, all its padding, extent of the dilated window.

        ValueError if one is invalid.
        """
        stride, _, dilation = self.geometry(len(sizes))
        for i, k, s, p, q, d in zip(sizes, window, stride, *self.pads(len(sizes)), dilation, strict=True):
            if s < 1 or d < 1 or min(p, q) < 0:
                pad = p if p == q else f"{p} and {q}"
                words = f"stride {s}, pad {pad}, dilation {d}"
                raise ValueError(f"{words}: stride and dilation are 1 or more, pad 0 or more")
            if k < 1:
                raise ValueError(f"the window's size is 1 or more, not {k}")
            require_int(reach := d * (k - 1) + 1, "the reach of a window")
            yield i, s, p + q, reach

    def padded(self, x: Tensor) -> Tensor:
        """The image with its padding of zeros."""
        return F.pad(x, [n for sides in zip(*map(reversed, self.pads(x.ndim - 2)), strict=True) for n in sides])

    def output_sizes(self, sizes: Sequence[int], window: Sequence[int]) -> list[int]:
        """The number of window positions along each image axis (Caffe, conv_layer.cpp)."""
        made, padded = [], list[int]()
        for i, s, p, reach in self.window_axes(sizes, window):
            padded.append(i + p)
            if reach > i + p:
                raise ValueError(f"a window of {reach} does not fit into an image of {i} padded to {i + p}")
            made.append((i + p - reach) // s + 1)
        require_int(prod(padded), "the places of the padded image")
        return made


@op("conv", operands=(2, 3))
class Conv(Geometry, Weighted):
    """Convolution over one to three image axes.

    Operands: data [n, c, ...], weight [o, c / groups, window...], and optionally a bias [o]. A single number in
    `stride`, `pad` or `dilation` applies to all axes. An image axis of size i becomes
    (i + 2 pad - dilation (window - 1) - 1) / stride + 1, rounded down (Caffe, conv_layer.cpp). Twice as many numbers
    in `pad` as there are axes are the padding before each axis, and then after each: [top, left, bottom, right].
    """

    stride: Ints = (1,)
    pad: Ints = (0,)
    dilation: Ints = (1,)
    groups: int = 1
    traits = frozenset({Trait.READS_ANY_LAYOUT, Trait.ANY_SIZE})

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        n, c, sizes = split_bounded_image(x)
        if w.rank != x.rank:
            raise ValueError(f"a weight of {plural(w.rank, 'dimension')} does not fit data of {x.rank}")
        o, per_group, *window = w.shape
        if c != per_group * self.groups:
            raise ValueError(f"the weight takes {plural(per_group * self.groups, 'channel')}, the data has {c}")
        if o % self.groups:
            raise ValueError(f"{plural(o, 'output channel')} cannot be divided into {self.groups} groups")
        if b and b.dims != (o,):
            raise ValueError(f"the bias is {b}, and there are {plural(o, 'output channel')}")
        return x.with_shape(n, o, *bound_like(x, self.output_sizes(sizes, window)))

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 2 * results[0].numel * prod(operands[1].bounds[1:]) + self.bias_flops(operands, results)

    def factors(self, shape: tuple[int, ...], a: Tensor) -> Tensor:
        return a.reshape(-1, *[1] * (len(shape) - 1))

    def reference(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        stride, _, dilation = self.geometry(x.ndim - 2)
        dilation = tuple(
            d if k > 1 else 1 for d, k in zip(dilation, w.shape[2:], strict=True)
        )  # d may crash torch 2.13
        pad, after = self.pads(x.ndim - 2)
        if pad != after:  # torch pads both sides alike
            x, pad = self.padded(x), (0,) * len(pad)
        return CONVOLUTIONS[x.ndim - 2](x, w, b, stride, pad, dilation, self.groups)


@op("deconv", operands=(2, 3))
class Deconv(Geometry, Weighted):
    """Transposed convolution over one to three image axes.

    Operands: data [n, c, ...], weight [c, o / groups, window...], and optionally a bias [o]. A single number in
    `stride`, `pad` or `dilation` applies to all axes. An image axis of size i becomes
    stride (i - 1) + dilation (window - 1) + 1 - 2 pad (Caffe, deconv_layer.cpp).
    """

    stride: Ints = (1,)
    pad: Ints = (0,)
    dilation: Ints = (1,)
    groups: int = 1

    traits = frozenset({Trait.ANY_SIZE})

    def pads(self, axes: int) -> tuple[Ints, Ints]:
        both = per_axis(self.pad, axes, "pad")
        return both, both

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        n, c, sizes = split_bounded_image(x)
        if w.rank != x.rank:
            raise ValueError(f"a weight of {plural(w.rank, 'dimension')} does not fit data of {x.rank}")
        taken, per_group, *window = w.shape
        if c != taken:
            raise ValueError(f"the weight takes {plural(taken, 'channel')}, the data has {c}")
        if self.groups < 1 or c % self.groups:
            raise ValueError(f"{plural(c, 'channel')} cannot be divided into {self.groups} groups")
        o = per_group * self.groups
        if b and b.dims != (o,):
            raise ValueError(f"the bias is {b}, and there are {plural(o, 'output channel')}")
        made = [s * (i - 1) + reach - p for i, s, p, reach in self.window_axes(sizes, window)]
        if min(made) < 1:
            raise ValueError(f"pad {list(self.pad)} leaves nothing of the result: its sizes would be {made}")
        return x.with_shape(n, o, *bound_like(x, made))

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 2 * operands[0].numel * prod(operands[1].bounds[1:]) + self.bias_flops(operands, results)

    def factors(self, shape: tuple[int, ...], a: Tensor) -> Tensor:
        taken, per_group, *window = shape
        by_group = a.reshape(self.groups, per_group).repeat_interleave(taken // self.groups, 0)
        return by_group.reshape(taken, per_group, *[1] * len(window))

    def reference(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        stride, pad, dilation = self.geometry(x.ndim - 2)
        return DECONVOLUTIONS[x.ndim - 2](x, w, b, stride, pad, 0, self.groups, dilation)


@op("im2col")
class Im2col(Geometry):
    """The windows of a convolution as channels: [n, c, ...] becomes [n, c · window, positions...] (Caffe, im2col.cpp).

    Elements outside of the image are 0. A single number in an attribute applies to all axes; `pad` as in conv. Zero
    channels are added up to `channels`, if that is more.
    """

    kernel: Ints
    stride: Ints = (1,)
    pad: Ints = (0,)
    dilation: Ints = (1,)
    channels: int = 0
    traits = frozenset({Trait.READS_ANY_LAYOUT, Trait.ANY_SIZE})

    def infer(self, x: TensorType) -> TensorType:
        n, c, sizes = split_bounded_image(x)
        window = per_axis(self.kernel, len(sizes), "kernel")
        made = c * prod(window)
        if self.channels and self.channels < made:
            raise ValueError(f"the windows have {plural(made, 'channel')}, so there cannot be {self.channels}")
        return x.with_shape(n, max(made, self.channels), *bound_like(x, self.output_sizes(sizes, window)))

    def reference(self, x: Tensor) -> Tensor:
        axes = x.ndim - 2
        stride, _, dilation = self.geometry(axes)
        window, x = per_axis(self.kernel, axes, "kernel"), self.padded(x)
        for axis, (k, s, d) in enumerate(zip(window, stride, dilation, strict=True), 2):
            x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
        places = list(range(2, 2 + axes))
        windows = x.permute(0, 1, *range(2 + axes, 2 + 2 * axes), *places).flatten(1, 1 + axes)
        return F.pad(windows, [*[0] * (2 * axes + 1), max(self.channels - windows.shape[1], 0)])
