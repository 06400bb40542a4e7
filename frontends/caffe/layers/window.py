"""Convolution layers: Convolution, Deconvolution and Im2col."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from ....compiler.ir import Value
from ....compiler.ops.conv import Conv, Deconv, Im2col
from ....compiler.ops.shape import Reshape
from ..layer import MANY, Layer, layer


@layer("Convolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def convolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Convolve each bottom with the same weights into the top of the same index (base_conv_layer.cpp)."""
    return convolve(l, bottoms, transposed=False)


@layer("Deconvolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def deconvolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Transposed convolution; the weight is [channels, num_output / group, ...] (deconv_layer.cpp)."""
    return convolve(l, bottoms, transposed=True)


def convolve(l: Layer, bottoms: Sequence[Value], transposed: bool) -> tuple[Value, ...]:
    """Emit a convolution, or a transposed one, for each bottom. CompileError if settings and shapes disagree."""
    p, x = l.param, bottoms[0]
    if len(bottoms) != len(l.tops):
        raise l.fault(f"it has {len(bottoms)} bottoms and {len(l.tops)} tops")
    if unlike := [b for b in bottoms if b.type != x.type]:
        raise l.fault(f"its bottoms have different shapes{l.importer.describe([x, unlike[0]])}")
    axis, axes = image_axes(l, x)
    channels, outputs, groups = l.known(x)[axis], p["num_output"], p["group"]
    if outputs < 1:
        raise l.fault("num_output has to be 1 or more", "num_output")
    if groups < 1 or channels % groups or outputs % groups:
        sentence = f"{channels} channels and {outputs} outputs cannot both be divided into {groups} groups"
        raise l.fault(sentence + l.importer.describe([x]), "group")
    stride, pad, dilation = window_geometry(l, axes)
    kernel = l.window("kernel_size", axes)
    taken, made = (outputs, channels) if not transposed else (channels, outputs)
    parameters: list[Value] = [l.weight((taken, made // groups, *kernel), "weight")]
    if p["bias_term"]:
        parameters.append(l.weight((outputs,), "bias"))
    op = (Deconv if transposed else Conv)(stride=stride, pad=pad, dilation=dilation, groups=groups)
    return tuple(flatten_batch(l, axis, b, lambda image: l.emit(op, image, *parameters)) for b in bottoms)


@layer("Im2col", "convolution_param")
def im2col(l: Layer, x: Value) -> Value:
    """The windows of a convolution, laid out as channels (im2col_layer.cpp)."""
    axis, axes = image_axes(l, x)
    stride, pad, dilation = window_geometry(l, axes)
    op = Im2col(kernel=l.window("kernel_size", axes), stride=stride, pad=pad, dilation=dilation)
    return flatten_batch(l, axis, x, lambda image: l.emit(op, image))


def image_axes(l: Layer, x: Value) -> tuple[int, int]:
    """The channel axis, and the count of image axes after it, 1 to 3. CompileError for another count."""
    axis = l.axis(l.param["axis"], x)
    axes = x.type.rank - axis - 1
    if not 1 <= axes <= 3:
        raise l.fault(f"an image of {axes} axes is not supported: {x.type} from axis {axis} on", "axis")
    return axis, axes


def window_geometry(l: Layer, axes: int) -> tuple[tuple[int, ...], ...]:
    """Stride, pad and dilation for each image axis."""
    return l.window("stride", axes, 1), l.window("pad", axes, 0, alone=True), l.window("dilation", axes, 1)


def flatten_batch(l: Layer, axis: int, x: Value, window: Callable[[Value], Value]) -> Value:
    """Apply `window` with all dimensions before the channel axis `axis` merged into one batch dimension."""
    if axis == 1:
        return window(x)
    before = l.known(x)[:axis]
    batch = l.emit(Reshape(shape=(prod(before),), num_axes=axis), x)
    return l.emit(Reshape(shape=before, num_axes=1), window(batch))
