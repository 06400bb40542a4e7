"""Convolution layers of images: Convolution, its depthwise variants, Deconvolution and Im2col."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from ....compiler.ir import Constant, Value
from ....compiler.op import Ints
from ....compiler.ops.conv import Conv, Deconv, Im2col
from ....compiler.ops.indexing import Crop
from ....compiler.ops.shape import Reshape
from ..layer import MANY, Layer, layer
from .padding import WindowAxis, keep_padded, padding

CPU_WARNING = (
    "is computed as on the CPU, as a convolution with this group and dilation; the fork's GPU code computes each "
    "channel alone, without dilation"
)


class WindowSettings(NamedTuple):
    """The window of a convolution, a number for each image axis; pad may have two: all before, then all after."""

    kernel: Ints
    stride: Ints
    pad: Ints
    dilation: Ints


@layer("Convolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def convolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Convolve each bottom with the same weights into the top of the same index (base_conv_layer.cpp).

    Padding by pad_l, pad_r, pad_t, pad_b or pad_type is synopsys-caffe's.
    """
    return convolve(l, keep_all_padded(l, bottoms), image_window(l, bottoms[0]), l.param["group"])


@layer("ConvolutionDepthwise", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def convolution_depthwise(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """A convolution of each channel alone, whatever `group` says (synopsys-caffe, base_conv_layer.cpp)."""
    channels = l.size(bottoms[0], l.axis(l.param["axis"], bottoms[0]))
    l.param["group"]  # read, and replaced
    return convolve(l, keep_all_padded(l, bottoms), image_window(l, bottoms[0]), channels)


@layer("DepthwiseConvolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def depthwise_convolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """A convolution, as its code for the CPU computes it (MobileNet-YOLO, depthwise_conv_layer.cpp).

    Its code for the GPU (.cu) computes the same where `group` is the count of channels, without dilation.
    """
    window, channels = image_window(l, bottoms[0]), l.size(bottoms[0], l.axis(l.param["axis"], bottoms[0]))
    if l.param["group"] != channels or set(window.dilation) != {1}:
        l.importer.warn(f"{l.label} {CPU_WARNING}")
    return convolve(l, keep_all_padded(l, bottoms), window, l.param["group"])


@layer("Deconvolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def deconvolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Transposed convolution; the weight is [channels, num_output / group, ...] (deconv_layer.cpp)."""
    return convolve(l, bottoms, image_window(l, bottoms[0], same=False), l.param["group"], transposed=True)


def keep_all_padded(l: Layer, bottoms: Sequence[Value]) -> list[Value]:
    """Each bottom as `keep_padded` gives it, with the image's axes behind the channel axis."""
    return [keep_padded(l, x, l.axis(l.param["axis"], x) + 1) for x in bottoms]


def convolve(
    l: Layer,
    bottoms: Sequence[Value],
    window: WindowSettings,
    groups: int,
    transposed: bool = False,
    bias_shape: Sequence[int] = (),
) -> tuple[Value, ...]:
    """Emit a convolution, or a transposed one, for each bottom. CompileError if settings and shapes disagree.

    `bias_shape`: the sizes in front of the bias blob's num_output.
    """
    p, x = l.param, bottoms[0]
    if len(bottoms) != len(l.tops):
        raise l.fault(f"it has {len(bottoms)} bottoms and {len(l.tops)} tops")
    if unlike := [b for b in bottoms if b.type != x.type]:
        raise l.fault(f"its bottoms have different shapes{l.importer.describe([x, unlike[0]])}")
    axis = x.type.rank - len(window.kernel) - 1
    channels, outputs = l.size(x, axis), p["num_output"]
    if outputs < 1:
        raise l.fault("num_output has to be 1 or more", "num_output")
    if groups < 1 or channels % groups or outputs % groups:
        sentence = f"{channels} channels and {outputs} outputs cannot both be divided into {groups} groups"
        raise l.fault(sentence + l.importer.describe([x]), "group")
    taken, made = (outputs, channels) if not transposed else (channels, outputs)
    parameters: list[Value] = [l.weight((taken, made // groups, *window.kernel), "weight")]
    if p["bias_term"]:
        parameters.append(flat_bias(l, outputs, bias_shape) if bias_shape else l.weight((outputs,), "bias"))

    def emit(image: Value) -> Value:
        if transposed:
            return emit_deconvolution(l, image, parameters, window, groups)
        _, stride, pad, dilation = window
        return l.emit(Conv(stride=stride, pad=pad, dilation=dilation, groups=groups), image, *parameters)

    return tuple(flatten_batch(l, axis, b, emit) for b in bottoms)


def flat_bias(l: Layer, outputs: int, before: Sequence[int]) -> Constant:
    """A bias that the file has in more dimensions, as a constant [outputs]."""
    stored = l.numbers((*before, outputs), "bias")
    return l.constant(None if stored is None else stored.reshape(outputs), (outputs,), "bias")


def emit_deconvolution(l: Layer, x: Value, parameters: Sequence[Value], window: WindowSettings, groups: int) -> Value:
    """A transposed convolution; where the padding differs by side, what it takes more on one is cropped."""
    axes = len(window.kernel)
    before, after = window.pad[:axes], window.pad[-axes:]
    pad = tuple(map(min, before, after))
    op = Deconv(stride=window.stride, pad=pad, dilation=window.dilation, groups=groups)
    made = l.emit(op, x if before == after else l.keep_sizes(x), *parameters)
    if before == after:
        return made
    extra = [p + q - 2 * both for p, q, both in zip(before, after, pad, strict=True)]
    sizes = tuple(n - more for n, more in zip(l.sizes(made.type.dims[2:]), extra, strict=True))
    offset = tuple(p - both for p, both in zip(before, pad, strict=True))
    return l.emit(Crop(axis=2, offset=offset, sizes=sizes), made)


@layer("Im2col", "convolution_param")
def im2col(l: Layer, x: Value) -> Value:
    """The windows of a convolution, laid out as channels (im2col_layer.cpp)."""
    kernel, stride, pad, dilation = image_window(l, x, sides=False)
    op = Im2col(kernel=kernel, stride=stride, pad=pad, dilation=dilation)
    return flatten_batch(l, x.type.rank - len(kernel) - 1, x, lambda image: l.emit(op, image))


def image_window(l: Layer, x: Value, same: bool = True, sides: bool = True) -> WindowSettings:
    """The window by kernel_size, stride, pad and dilation. CompileError if they do not fit the bottom.

    `sides`: pads of single sides are read; `same`: and pad_type.
    """
    axis, axes = image_axes(l, x)
    kernel, stride, dilation = l.window("kernel_size", axes), l.window("stride", axes, 1), l.window("dilation", axes, 1)
    if not sides:
        return WindowSettings(kernel, stride, l.window("pad", axes, 0, alone=True), dilation)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]

    def windows() -> list[WindowAxis]:
        shape = l.sizes(x.type.dims[axis + 1 :])
        return [WindowAxis(*numbers) for numbers in zip(shape, kernel, reach, stride, strict=True)]

    pad = padding(l, axes, windows if same and min(stride) > 0 else None)
    return WindowSettings(kernel, stride, pad, dilation)


def image_axes(l: Layer, x: Value) -> tuple[int, int]:
    """The channel axis, and the count of image axes after it, 1 to 3. CompileError for another count."""
    axis = l.axis(l.param["axis"], x)
    axes = x.type.rank - axis - 1
    if not 1 <= axes <= 3:
        raise l.fault(f"an image of {axes} axes is not supported: {x.type} from axis {axis} on", "axis")
    return axis, axes


def flatten_batch(l: Layer, axis: int, x: Value, window: Callable[[Value], Value]) -> Value:
    """Apply `window` with all dimensions before the channel axis `axis` merged into one batch dimension."""
    if axis == 1:
        return window(x)
    before = l.sizes(x.type.dims[:axis])
    batch = l.emit(Reshape(shape=(prod(before),), num_axes=axis), x)
    return l.emit(Reshape(shape=before, num_axes=1), window(batch))
