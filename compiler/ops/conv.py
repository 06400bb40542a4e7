"""Convolution."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from ..op import Ints, Op, op, per_axis
from ..types import TensorType
from .image import image, plural

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@op("conv")
class Conv(Op):
    """Convolution over one to three image axes.

    Data [n, c, ...], weight [o, c / groups, window...], and perhaps a bias [o]. A number in `stride`, `pad` or
    `dilation` stands for all axes. An image axis of i becomes (i + 2 pad - dilation (window - 1) - 1) / stride + 1,
    rounded down (Caffe, conv_layer.cpp).
    """

    stride: Ints = (1,)
    pad: Ints = (0,)
    dilation: Ints = (1,)
    groups: int = 1

    def infer(self, x: TensorType, w: TensorType, b: TensorType | None = None) -> TensorType:
        n, c, sizes = image(x)
        if w.rank != x.rank:
            raise ValueError(f"a weight of {plural(w.rank, 'dimension')} does not fit data of {x.rank}")
        o, per_group, *window = w.shape
        if c != per_group * self.groups:
            raise ValueError(f"the weight takes {plural(per_group * self.groups, 'channel')}, the data has {c}")
        if o % self.groups:
            raise ValueError(f"{plural(o, 'output channel')} cannot be divided into {self.groups} groups")
        if b and b.dims != (o,):
            raise ValueError(f"the bias is {b}, and there are {plural(o, 'output channel')}")
        out = []
        for i, k, s, p, d in zip(sizes, window, *self.geometry(len(sizes)), strict=True):
            if s < 1 or d < 1 or p < 0:
                raise ValueError(f"stride {s}, pad {p}, dilation {d}: stride and dilation are 1 or more, pad 0 or more")
            if (reach := d * (k - 1) + 1) > i + 2 * p:
                raise ValueError(f"a window of {reach} does not fit into an image of {i} padded to {i + 2 * p}")
            out.append((i + 2 * p - reach) // s + 1)
        return x.with_shape(n, o, *out)

    def geometry(self, axes: int) -> tuple[Ints, Ints, Ints]:
        """Stride, pad and dilation for each image axis."""
        stride, pad = per_axis(self.stride, axes, "stride"), per_axis(self.pad, axes, "pad")
        return stride, pad, per_axis(self.dilation, axes, "dilation")

    def reference(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        stride, pad, dilation = self.geometry(x.ndim - 2)
        return CONVOLUTIONS[x.ndim - 2](x, w, b, stride, pad, dilation, self.groups)
