"""Pooling layers: Pooling and SPP."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.pool import AvgPool, MaxPool, PyramidPool, StochasticPool
from ..layer import Layer, layer

FORK_FIELDS = ("kernel_depth", "temporal_stride", "torch_pooling", "pad_l", "pad_r", "pad_t", "pad_b")


@layer("Pooling", "pooling_param", tops=(1, 2))
def pooling(l: Layer, x: Value) -> Value | tuple[Value, ...]:
    """MAX (the second top is the index of each maximum), AVE or STOCHASTIC (pooling_layer.cpp).

    A fork's AVE_EXC_PAD, or avg_include_pad: false, does not count the padding in the divisor of an average.
    """
    p = l.param
    if x.type.rank != 4:
        raise l.fault(f"it pools images [n, c, h, w], not {x.type}")
    if foreign := [f for f in FORK_FIELDS if f in p]:
        raise l.fault(f"{foreign[0]} is a fork's field, which cortado does not support", foreign[0])
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
        raise l.fault("round_mode and ceil_mode are both given", "ceil_mode", "Keep one of the two.")
    up = p["round_mode"] == "CEIL" if "round_mode" in p else p["ceil_mode"]
    rounding = "up" if up else "down"
    if p["pool"] == "MAX":
        masked = len(l.tops) == 2
        return l.emit_all(MaxPool(kernel=kernel, stride=stride, pad=pad, round=rounding, mask=masked), x)
    if len(l.tops) == 2:
        raise l.fault(f"{p['pool']} pooling has one top: only MAX has a mask")
    if p["pool"] in ("AVE", "AVE_EXC_PAD"):
        include = p["pool"] == "AVE" and p["avg_include_pad"]
        return l.emit(AvgPool(kernel=kernel, stride=stride, pad=pad, round=rounding, include_pad=include), x)
    if p["pool"] == "STOCHASTIC":
        if any(pad):
            raise l.fault("STOCHASTIC pooling has no padding, in Caffe neither", "pool", "Take pad out.")
        return l.emit(StochasticPool(kernel=kernel, stride=stride, round=rounding), x)
    raise l.fault(f"cortado does not know {p['pool']} pooling", "pool", "There are MAX, AVE and STOCHASTIC.")


@layer("SPP", "spp_param")
def spp(l: Layer, x: Value) -> Value:
    """Spatial pyramid pooling: the levels pooled, flattened and concatenated (spp_layer.cpp)."""
    p = l.param
    if x.type.rank != 4:
        raise l.fault(f"it pools images [n, c, h, w], not {x.type}")
    if p["pyramid_height"] < 1:
        raise l.fault("pyramid_height has to be 1 or more", "pyramid_height", "Add pyramid_height: and a number.")
    modes = {"MAX": "max", "AVE": "avg"}
    if p["pool"] not in modes:
        raise l.fault(f"a pyramid of {p['pool']} pooling is not supported", "pool", "There are MAX and AVE.")
    return l.emit(PyramidPool(height=p["pyramid_height"], mode=modes[p["pool"]]), x)
