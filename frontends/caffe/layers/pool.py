"""Pooling layers: Pooling and SPP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from ....compiler.ir import Value
from ....compiler.op import Ints
from ....compiler.ops.pool import AvgPool, MaxPool, PyramidPool, StochasticPool
from ..layer import Layer, layer
from .padding import WindowAxis, keep_padded, padding


@layer("Pooling", "pooling_param", tops=(1, 2))
def pooling(l: Layer, x: Value) -> Value | tuple[Value, ...]:
    """MAX (the second top is the index of each maximum), AVE or STOCHASTIC (pooling_layer.cpp).

    A fork's AVE_EXC_PAD, or avg_include_pad: false, does not count the padding in the divisor of an average; AVE_TF is
    what AVE_EXC_PAD was called before July 2018. pad_l, pad_r, pad_t, pad_b and pad_type are of the same fork,
    synopsys-caffe.
    """
    if x.type.rank != 4:
        raise l.fault(f"it pools images [n, c, h, w], not {x.type}")
    pool = l.choice("pool", METHODS)
    if len(l.tops) == 2 and pool is not max_pool:
        raise l.fault("it has two tops, and only MAX pooling has a mask", "pool")
    return pool(l, x, pooling_window(l))


class PoolingWindow(TypedDict):
    """The attributes that all pooling operators have; `kernel` None: the whole image."""

    kernel: tuple[int, ...] | None
    stride: tuple[int, ...]
    round: str


def pooling_window(l: Layer) -> PoolingWindow:
    """Kernel, stride and rounding. CompileError where Caffe aborts (PoolingLayer::LayerSetUp)."""
    p, kernel = l.param, None
    stride = l.window("stride", 2, 1)
    if not p["global_pooling"]:
        kernel = l.window("kernel_size", 2)
    elif given := [f for f in ("kernel_size", "kernel_h", "kernel_w") if p.is_set(f)]:
        advice = f"Take {given[0]} out, or global_pooling: Caffe refuses both together."
        raise l.fault("global_pooling has no kernel size", "global_pooling", advice)
    elif set(stride) != {1}:
        raise l.fault("global_pooling has no stride", "global_pooling", "Take stride out, as Caffe asks.")
    if "round_mode" in p and "ceil_mode" in p:
        raise l.fault("round_mode and ceil_mode are both given", "ceil_mode", "Keep one of the two.")
    up = l.choice("round_mode", {"CEIL": True, "FLOOR": False}) if "round_mode" in p else p["ceil_mode"]
    return PoolingWindow(kernel=kernel, stride=stride, round="up" if up else "down")


def pool_padding(l: Layer, x: Value, window: PoolingWindow) -> Ints:
    """The operators' attribute `pad`. CompileError if there is any and the pooling is global."""

    def windows() -> list[WindowAxis]:
        sizes = l.sizes(x.type.dims[2:])
        kernel = window["kernel"] or sizes
        return [WindowAxis(*axis) for axis in zip(sizes, kernel, kernel, window["stride"], strict=True)]

    pad = padding(l, 2, windows if min(window["stride"]) > 0 else None, alone=False)
    if window["kernel"] is None and any(pad):
        raise l.fault("global_pooling has no padding", "global_pooling", "Take pad out, as Caffe asks.")
    return pad


def max_pool(l: Layer, x: Value, window: PoolingWindow) -> tuple[Value, ...]:
    return l.emit_all(MaxPool(**window, pad=pool_padding(l, x, window), mask=len(l.tops) == 2), keep_padded(l, x))


def average_pool(l: Layer, x: Value, window: PoolingWindow) -> Value:
    return l.emit(
        AvgPool(**window, pad=pool_padding(l, x, window), include_pad=l.param["avg_include_pad"]), keep_padded(l, x)
    )


def average_inside_pool(l: Layer, x: Value, window: PoolingWindow) -> Value:
    return l.emit(AvgPool(**window, pad=pool_padding(l, x, window), include_pad=False), keep_padded(l, x))


def stochastic_pool(l: Layer, x: Value, window: PoolingWindow) -> Value:
    if any(pool_padding(l, x, window)):
        raise l.fault("STOCHASTIC pooling has no padding, in Caffe neither", "pool", "Take pad out.")
    return l.emit(StochasticPool(**window), x)


METHODS: dict[str, Callable[[Layer, Value, PoolingWindow], Value | tuple[Value, ...]]] = {
    "MAX": max_pool,
    "AVE": average_pool,
    "AVE_EXC_PAD": average_inside_pool,
    "AVE_TF": average_inside_pool,
    "STOCHASTIC": stochastic_pool,
}


@layer("SPP", "spp_param")
def spp(l: Layer, x: Value) -> Value:
    """Spatial pyramid pooling: the levels pooled, flattened and concatenated (spp_layer.cpp)."""
    p = l.param
    if x.type.rank != 4:
        raise l.fault(f"it pools images [n, c, h, w], not {x.type}")
    if p["pyramid_height"] < 1:
        raise l.fault("pyramid_height has to be 1 or more", "pyramid_height", "Add pyramid_height: and a number.")
    mode = l.choice("pool", {"MAX": "max", "AVE": "avg"})
    return l.emit(PyramidPool(height=p["pyramid_height"], mode=mode), x)
