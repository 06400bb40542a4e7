"""Layers that slide a window over an image."""

from __future__ import annotations

from math import prod

from ....compiler.ir import Value
from ....compiler.ops.conv import Conv
from ....compiler.ops.pool import AvgPool, MaxPool
from ....compiler.ops.shape import Reshape
from ..layer import MANY, Layer, layer


@layer("Convolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def convolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Every bottom is convolved with the same weights into the top of its number (base_conv_layer.cpp)."""
    p, x = l.param, bottoms[0]
    if len(bottoms) != len(l.tops):
        raise l.fault(f"it has {len(bottoms)} bottoms and {len(l.tops)} tops")
    axis = l.axis(p["axis"], x)
    channels, axes = l.known(x)[axis], x.type.rank - axis - 1
    outputs, groups = p["num_output"], p["group"]
    if outputs < 1:
        raise l.fault("num_output has to be 1 or more", "num_output")
    if groups < 1 or channels % groups or outputs % groups:
        sentence = f"{channels} channels and {outputs} outputs cannot both be divided into {groups} groups"
        raise l.fault(sentence + l.importer.described([x]), "group")
    if not 1 <= axes <= 3:
        raise l.fault(f"an image of {axes} axes is not supported: {x.type} from axis {axis} on", "axis")
    kernel = l.window("kernel_size", axes)
    stride, pad = l.window("stride", axes, 1), l.window("pad", axes, 0)
    dilation = l.window("dilation", axes, 1)
    weight = l.weight((outputs, channels // groups, *kernel), "weight")
    bias = (l.weight((outputs,), "bias"),) if p["bias_term"] else ()
    op = Conv(stride=stride, pad=pad, dilation=dilation, groups=groups)
    if axis == 1:
        return tuple(l.emit(op, b, weight, *bias) for b in bottoms)
    return tuple(behind_axis(l, op, axis, b, weight, *bias) for b in bottoms)


def behind_axis(l: Layer, op: Conv, axis: int, x: Value, *parameters: Value) -> Value:
    """Convolve images that begin behind `axis`: all dimensions before it are one batch."""
    before = l.known(x)[:axis]
    flat = l.emit(Reshape(shape=(prod(before),), num_axes=axis), x)
    return l.emit(Reshape(shape=before, num_axes=1), l.emit(op, flat, *parameters))


@layer("Pooling", "pooling_param", tops=(1, 2))
def pooling(l: Layer, x: Value) -> Value | tuple[Value, ...]:
    """MAX, with where each maximum stood as a second top, or AVE (pooling_layer.cpp)."""
    p = l.param
    if x.type.rank != 4:
        raise l.fault(f"it pools images [n, c, h, w], not {x.type}")
    stride, pad = l.window("stride", 2, 1), l.window("pad", 2, 0)
    if p["global_pooling"]:
        if any(f in p for f in ("kernel_size", "kernel_h", "kernel_w")):
            advice = "Take the kernel out, or global_pooling: Caffe refuses both together."
            raise l.fault("global_pooling has no kernel size", "global_pooling", advice)
        if any(pad) or set(stride) != {1}:
            raise l.fault("global_pooling has no padding and no stride", "global_pooling")
        kernel = None
    else:
        kernel = l.window("kernel_size", 2)
    if "round_mode" in p and "ceil_mode" in p:
        raise l.fault("round_mode and ceil_mode say the same", "ceil_mode", "Keep one of the two.")
    up = p["round_mode"] == "CEIL" if "round_mode" in p else p["ceil_mode"]
    rounding = "up" if up else "down"
    if p["pool"] == "MAX":
        masked = len(l.tops) == 2
        return l.emit_all(MaxPool(kernel=kernel, stride=stride, pad=pad, round=rounding, mask=masked), x)
    if len(l.tops) == 2:
        raise l.fault(f"{p['pool']} pooling has one top: only MAX has a mask")
    if p["pool"] == "AVE":
        return l.emit(AvgPool(kernel=kernel, stride=stride, pad=pad, round=rounding), x)
    raise l.fault(f"{p['pool']} pooling is not supported", "pool", "Caffe itself has no STOCHASTIC pooling on the CPU.")
