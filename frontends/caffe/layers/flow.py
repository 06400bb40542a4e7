"""FlowNet's layers: Correlation, FlowWarp, Resample and ChannelNorm."""

from __future__ import annotations

import torch

from ....compiler.ir import Value
from ....compiler.ops.arithmetic import Mul, Power
from ....compiler.ops.conv import Conv
from ....compiler.ops.flow import Correlation, FlowWarp, Resample
from ..layer import Layer, layer


@layer("Correlation", "correlation_param", bottoms=2)
def correlation(l: Layer, a: Value, b: Value) -> Value:
    """How alike two images are at each place, for each displacement up to max_displacement (correlation_layer.cpp).

    It is the mean product over channels and window or, for SUBTRACT, the mean absolute difference.
    """
    p = l.param
    for field in ("kernel_size", "max_displacement"):
        if field not in p:
            raise l.fault(f"it has no {field}", advice=f"Add {field}: and a number.")
    op = Correlation(
        kernel=p["kernel_size"],
        displacement=p["max_displacement"],
        stride=p["stride_1"],
        step=p["stride_2"],
        pad=p["pad"],
        difference=l.choice("correlation_type", {"MULTIPLY": False, "SUBTRACT": True}),
    )
    return l.emit(op, a, b)


@layer("FlowWarp", "flow_warp_param", bottoms=2)
def flow_warp(l: Layer, image: Value, flow: Value) -> Value:
    """The image at the places that the flow, [n, 2, h, w], points to; 0 or NaN outside of it (flow_warp_layer.cpp)."""
    return l.emit(FlowWarp(fill=l.choice("fill_value", {"ZERO": "zero", "NOT_A_NUMBER": "nan"})), image, flow)


@layer("Resample", "resample_param", bottoms=(1, 2))
def resample(l: Layer, x: Value, like: Value | None = None) -> Value:
    """Resize to height and width, or to those of the second bottom (FlowNet 2's resample_layer.cu)."""
    filter = l.choice("type", {"NEAREST": "nearest", "LINEAR": "linear", "CUBIC": "cubic"})
    if like is not None and like.type.rank != 4:
        raise l.fault(f"the second bottom is an image [n, c, h, w], not {like.type}")
    sizes = (l.param["height"], l.param["width"]) if like is None else l.known(like)[2:]
    return l.emit(Resample(sizes=sizes, filter=filter, antialias=l.param["antialias"]), x)


@layer("ChannelNorm")
def channel_norm(l: Layer, x: Value) -> Value:
    """The square root of the sum of the channels' squares, [n, 1, h, w] (channel_norm_layer.cpp)."""
    if x.type.rank != 4:
        raise l.fault(f"it takes images [n, c, h, w], not {x.type}")
    shape = (1, l.known(x)[1], 1, 1)
    ones = l.constant(torch.ones(shape), shape, "ones")
    return l.emit(Power(power=0.5), l.emit(Conv(), l.emit(Mul(), x, x), ones))
