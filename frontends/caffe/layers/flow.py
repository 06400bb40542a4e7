"""FlowNet's layers: Correlation, FlowWarp, Resample, ChannelNorm, and the mean that its DataAugmentation subtracts."""

from __future__ import annotations

import torch

from ....compiler.ir import Constant, Value
from ....compiler.ops.arithmetic import Mul, Power
from ....compiler.ops.channels import Bias
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
    if like is not None:
        return l.emit(Resample(filter=filter, antialias=l.param["antialias"]), x, like)
    sizes = (l.param["height"], l.param["width"])
    return l.emit(Resample(sizes=sizes, filter=filter, antialias=l.param["antialias"]), x)


@layer("DataAugmentation", "augmentation_param")
def data_augmentation(l: Layer, x: Value) -> Value:
    """Subtract the mean of each channel, the learnt one if recompute_mean is set, or else `mean`.

    This is FlowNet 2's data_augmentation_layer.cpp. It augments only where it crops, which is refused. The blobs are
    how many batches the mean is of, the mean of each pixel, which mean_per_pixel: true subtracts, and that of each
    channel.
    """
    p, channels = l.param, l.size(x, 1) if x.type.rank == 4 else 0
    if not channels:
        raise l.fault(f"it takes images [n, c, h, w], not {x.type}")
    if p["crop_width"] or p["crop_height"]:
        raise l.fault("it would crop, and augment at random", "crop_width" if "crop_width" in p else "crop_height")
    if p["recompute_mean"]:
        return l.emit(Bias(), x, learnt_mean(l, l.known(x)))
    if len(p["mean"]) != 3 or p["mean_per_pixel"]:
        return l.emit(Power(), x)
    if channels != 3:
        raise l.fault(f"it has a mean of three channels, and the image {channels}", "mean")
    return l.emit(Bias(), x, l.constant(-torch.tensor(p["mean"], dtype=torch.float32), (3,), "mean"))


def learnt_mean(l: Layer, image: tuple[int, ...]) -> Constant:
    """The negative mean of each channel. CompileError if it is not what the layer subtracts from the next image."""
    if l.param["mean_per_pixel"]:
        raise l.fault("the mean of each pixel is not supported", "mean_per_pixel", "Write mean_per_pixel: false.")
    channels, batches = image[1], l.numbers((1, 1, 1, 1), "batches")
    l.skip_weight((1, *image[1:]))  # the mean of each pixel, of the size that it was trained on
    mean = l.numbers((1, channels, 1, 1), "mean")
    if batches is not None and int(batches) < l.param["recompute_mean"]:
        sentence = f"its mean is of {int(batches)} batches, and changes up to {l.param['recompute_mean']}"
        raise l.fault(sentence, "recompute_mean", "Lower recompute_mean to what it has.")
    return l.constant(None if mean is None else -mean.reshape(channels), (channels,), "mean")


@layer("ChannelNorm")
def channel_norm(l: Layer, x: Value) -> Value:
    """The square root of the sum of the channels' squares, [n, 1, h, w] (channel_norm_layer.cpp)."""
    if x.type.rank != 4:
        raise l.fault(f"it takes images [n, c, h, w], not {x.type}")
    ones = l.filled(1.0, (1, l.size(x, 1), 1, 1), "ones")
    return l.emit(Power(power=0.5), l.emit(Conv(), l.emit(Mul(), x, x), ones))
