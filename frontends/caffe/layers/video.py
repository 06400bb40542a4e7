"""Convolution and pooling of videos, images of three axes: C3D's, and video-caffe's NdConvolution and NdPooling."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.op import Ints
from ....compiler.ops.pool import AvgPool, MaxPool, Pool
from ....compiler.ops.shape import Reshape
from ..layer import MANY, Layer, layer
from .window import WindowSettings, convolve

C3D_POOLING = ("pool", "kernel_size", "stride", "pad", "kernel_depth", "temporal_stride")
SYNOPSYS_POOLING = (
    *("pool", "kernel_size", "stride", "pad", "global_pooling", "ceil_mode"),
    *(f"{name}_{axis}" for name in ("kernel", "stride") for axis in "dhw"),
    *(f"pad_{axis}{side}" for axis in "dhw" for side in "01"),
)
POOLS = {"MAX": MaxPool, "AVE": AvgPool}


@layer("Convolution3D", "convolution3d_param")
def convolution3d(l: Layer, x: Value) -> Value:
    """Convolve frames, rows and columns; the bias blob is [1, 1, 1, 1, num_output] (C3D's convolution3d_layer.cpp)."""
    if l.param["filter_group"] < 1 or l.param["num_output"] % l.param["filter_group"]:
        sentence = f"{l.param['num_output']} outputs cannot be divided into {l.param['filter_group']} groups"
        raise l.fault(sentence, "filter_group")
    (made,) = convolve(l, [x], video_window(l, x), 1, bias_shape=(1, 1, 1, 1))
    return made


@layer("Deconvolution3D", "convolution3d_param")
def deconvolution3d(l: Layer, x: Value) -> Value:
    """Transposed convolution over frames, rows and columns (C3D's deconvolution3d_layer.cpp).

    It always has a bias: C3D reads bias_term from another message.
    """
    if not l.param["bias_term"]:
        advice = "Take bias_term out, and give it a bias of zeros in the caffemodel."
        raise l.fault("C3D does not read bias_term here, and gives it a bias all the same", "bias_term", advice)
    (made,) = convolve(l, [x], video_window(l, x), 1, transposed=True, bias_shape=(1, 1, 1, 1))
    return made


def video_window(l: Layer, x: Value) -> WindowSettings:
    """C3D's window: depth by size by size."""
    require_video(l, x)
    kernel, stride = (
        in_time_and_space(l, "kernel_depth", "kernel_size"),
        in_time_and_space(l, "temporal_stride", "stride"),
    )
    return WindowSettings(kernel, stride, in_time_and_space(l, "temporal_pad", "pad"), (1, 1, 1))


def in_time_and_space(l: Layer, time: str, space: str) -> Ints:
    """A setting of three axes that C3D gives as two. CompileError if a kernel's size is missing."""
    for field in (time, space):
        if not l.param[field] and not field.endswith("pad"):
            raise l.fault(f"it has no {field}", field, f"Add {field}: and a number of 1 or more.")
    return l.param[time], l.param[space], l.param[space]


def require_video(l: Layer, x: Value) -> None:
    if x.type.rank != 5:
        raise l.fault(f"it takes videos [n, c, frames, h, w], not {x.type}")


@layer("Pooling3D", "pooling3d_param", dialect="c3d", fields=C3D_POOLING)
def pooling3d_c3d(l: Layer, x: Value) -> Value:
    """Windows of kernel_depth frames by kernel_size squared, as many as fit, rounded up (C3D's pool3d_layer.cpp)."""
    require_video(l, x)
    if "kernel_depth" not in l.param:
        raise l.mismatch("it has no kernel_depth", "kernel_size")
    pool, pad = l.choice("pool", POOLS), l.param["pad"]
    if pad and pool is MaxPool:
        raise l.mismatch("padding is implemented for AVE alone", "pad")
    kernel, stride = (
        in_time_and_space(l, "kernel_depth", "kernel_size"),
        in_time_and_space(l, "temporal_stride", "stride"),
    )
    made = l.emit(pool(kernel=kernel, stride=stride, pad=(0, pad, pad)), x)
    require_counts(l, x, made, kernel, stride, (0, pad, pad), drops=())
    return made


@layer("Pooling3D", "pooling3d_param", dialect="synopsys", fields=SYNOPSYS_POOLING)
def pooling3d_synopsys(l: Layer, x: Value) -> Value:
    """Windows of kernel_size cubed, or kernel_d, kernel_h, kernel_w, as many as fit, rounded down unless ceil_mode.

    It is synopsys-caffe's pooling3d_layer.cpp. Padding of each side is pad_d0, pad_d1, pad_h0 and so on. AVE_EXC_PAD
    does not count it in the divisor.
    """
    require_video(l, x)
    p = l.param
    kernel = None if p["global_pooling"] else of_three_axes(l, "kernel_size", "kernel")
    sides = "01" if "pad" not in p else ""
    pad = tuple(p[f"pad_{axis}{side}"] for side in sides for axis in "dhw") or (p["pad"],)
    round = "up" if p["ceil_mode"] else "down"
    stride = of_three_axes(l, "stride", "stride")
    pools: dict[str, Pool] = {
        "MAX": MaxPool(kernel=kernel, stride=stride, pad=pad, round=round),
        "AVE": AvgPool(kernel=kernel, stride=stride, pad=pad, round=round),
        "AVE_EXC_PAD": AvgPool(kernel=kernel, stride=stride, pad=pad, round=round, include_pad=False),
    }
    return l.emit(l.choice("pool", pools), x)


def of_three_axes(l: Layer, whole: str, name: str) -> Ints:
    """A setting for all axes, or one for depth, height and width each."""
    p = l.param
    each = tuple(p[f"{name}_{axis}"] for axis in "dhw")
    made = (p[whole],) * 3 if whole in p or not any(each) else each
    if min(made) < 1:
        raise l.fault(f"{whole} or {name}_d, {name}_h and {name}_w have to be 1 or more", whole)
    return made


@layer("NdConvolution", "convolution_param", bottoms=(1, MANY), tops=(1, MANY))
def nd_convolution(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Convolve by kernel_shape, stride_shape and pad_shape (video-caffe, cudnn_ndconv_layer.cpp).

    An image axis of one place is left out of the top.
    """
    window = shaped_window(l, bottoms[0])
    made = []
    for y in convolve(l, bottoms, window, l.param["group"]):
        kept = tuple(n for n in l.sizes(y.type.dims[2:]) if n > 1)
        made.append(y if len(kept) == y.type.rank - 2 else l.emit(Reshape(shape=kept, axis=2), y))
    return tuple(made)


@layer("NdPooling", "pooling_param")
def nd_pooling(l: Layer, x: Value) -> Value:
    """MAX or AVE by kernel_shape, stride_shape and pad_shape (video-caffe, cudnn_ndpooling_layer.cpp).

    CompileError where cuDNN, which computes it there, and Caffe would divide an average by different numbers.
    """
    kernel, stride, pad, _ = shaped_window(l, x)
    whole = l.param["global_pooling"]
    kernel = l.known(x)[2:] if whole else kernel
    pool = l.choice("pool", POOLS)
    made = l.emit(pool(kernel=None if whole else kernel, stride=stride, pad=pad), x)
    padded = [i for i, p in enumerate(pad) if p]
    require_counts(l, x, made, kernel, stride, pad, drops=padded)
    numbers = zip(l.known(x)[2:], l.sizes(made.type.dims[2:]), kernel, stride, pad, strict=True)
    if pool is AvgPool and any((n - 1) * s + k > i + 2 * p for i, n, k, s, p in numbers):
        raise l.fault("a window leaves the padded image, and cuDNN divides its sum by the whole window", "pool")
    return made


def shaped_window(l: Layer, x: Value) -> WindowSettings:
    """The window by the messages kernel_shape, stride_shape and pad_shape. CompileError unless all have one length."""
    p, axes = l.param, x.type.rank - 2
    if "kernel_shape" not in p:
        raise l.fault("it has no kernel_shape", advice="Add kernel_shape { dim: ... }, a number for each image axis.")
    if not 1 <= axes <= 3:
        raise l.fault(f"an image of {axes} axes is not supported: {x.type}")

    def numbers(name: str, default: int) -> Ints:
        made = tuple(p[name]["dim"]) if name in p else (default,) * axes
        if len(made) != axes:
            raise l.fault(f"{name} has {len(made)} numbers, and the image {axes} axes", name)
        return made

    kernel, stride, pad = numbers("kernel_shape", 0), numbers("stride_shape", 1), numbers("pad_shape", 0)
    return WindowSettings(kernel, stride, pad, (1,) * axes)


def require_counts(
    l: Layer, x: Value, y: Value, kernel: Ints, stride: Ints, pad: Ints, drops: Ints | list[int]
) -> None:
    """CompileError unless there are as many windows as in the fork.

    It drops a last one that starts in the padding along the axes `drops`, the operators along all axes.
    """
    for axis, (i, n, k, s, p) in enumerate(zip(l.known(x)[2:], y.type.bounds[2:], kernel, stride, pad, strict=True)):
        count = -(-(i + 2 * p - k) // s) + 1
        if axis in drops and (count - 1) * s >= i + p:
            count -= 1
        if count != n:
            raise l.fault(f"along axis {axis + 2} it would have {count} windows, the last outside of the image")
