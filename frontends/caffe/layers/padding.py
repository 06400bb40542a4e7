"""The padding of a convolution or pooling: pad, pad_h and pad_w, or synopsys-caffe's four sides and pad_type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ....compiler.ir import Value
from ....compiler.op import Ints
from ..layer import Layer

BEFORE, AFTER = ("pad_t", "pad_l"), ("pad_b", "pad_r")
USUAL = ("pad", "pad_h", "pad_w")


class WindowAxis(NamedTuple):
    """A window along one image axis of length `size`; with its dilation it reaches over `reach` elements."""

    size: int
    kernel: int
    reach: int
    stride: int

    def same_padding(self) -> tuple[int, int]:
        """The padding before and after the image with which there are ceil(size / stride) windows, as in TensorFlow.

        The dilation is not taken into account before the image (synopsys-caffe, im2col.cpp).
        """
        before = max(self.kernel - (self.size % self.stride or self.stride), 0) // 2
        count = -(-self.size // self.stride)
        return before, max((count - 1) * self.stride + self.reach - before - self.size, 0)


def keep_padded(l: Layer, x: Value, start: int = 2) -> Value:
    """A bottom, refused at other sizes of the axes from `start` on if its padding follows from them by pad_type."""
    return l.keep_sizes(x, start) if l.param["pad_type"] else x


def padding(l: Layer, axes: int, windows: Callable[[], Sequence[WindowAxis]] | None = None, alone: bool = True) -> Ints:
    """The operators' attribute `pad`: one number per image axis, or all before and then all after the image.

    `windows` gives what pad_type: 1, TensorFlow's SAME, depends on, the image's sizes among it; None if the layer has
    no such setting. `alone`: see Layer.window. CompileError where synopsys-caffe aborts (base_conv_layer.cpp,
    pooling_layer.cpp).
    """
    p = l.param
    sides = [*(p[f] for f in BEFORE), *(p[f] for f in AFTER)]
    field = next((f for f in (*BEFORE, *AFTER) if p[f]), "pad_type" if p["pad_type"] else "")
    if not field:
        return l.window("pad", axes, 0, alone=alone)
    if usual := [f for f in USUAL if f in p and p[f] not in (0, (0,))]:
        raise l.fault(f"{usual[0]} and {field} are both given", field, "Keep one of the two.")
    if axes != 2:
        raise l.fault(f"{field} is for images of two axes, and this one has {axes}", field)
    if not p["pad_type"]:
        if min(sides) < 0:
            raise l.fault("the padding of a side is 0 or more", next(f for f in (*BEFORE, *AFTER) if p[f] < 0))
        return tuple(sides)
    if any(sides):
        raise l.fault(f"{field} and pad_type are both given", field, "Keep one of the two.")
    if p["pad_type"] != 1 or windows is None:
        raise l.fault(
            f"pad_type {p['pad_type']} is not supported here", "pad_type", "Write pad_l, pad_r, pad_t, pad_b."
        )
    before, after = zip(*(axis.same_padding() for axis in windows()), strict=True)
    return (*before, *after)
