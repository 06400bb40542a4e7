"""Elementwise layers (Caffe: NeuronLayer)."""

from __future__ import annotations

from math import e, inf, isnan

import numpy as np

from ....compiler.ir import Value
from ....compiler.ops.activation import (
    Abs,
    Bnll,
    Clip,
    ClippedRelu,
    Dropout,
    Elu,
    HardSwish,
    Mish,
    PRelu,
    Relu,
    Sigmoid,
    Swish,
    TanH,
    Threshold,
)
from ....compiler.ops.arithmetic import Exp, Log, Power
from ..layer import Layer, layer


@layer("ReLU", "relu_param")
def relu(l: Layer, x: Value) -> Value:
    """max(x, 0) + negative_slope * min(x, 0) (relu_layer.cpp).

    synopsys-caffe's `relu6`, `maximum`, if above 0, and `minimum`, if not 0, limit the result; NaN is 0 then.
    """
    slope, low, highest = l.number("negative_slope"), l.number("minimum"), l.number("maximum")
    high = min(6.0 if l.param["relu6"] else inf, highest if highest > 0 else inf)
    low = 0.0 if isnan(low) else low
    if high == inf and not low:
        return l.emit(Relu(slope=slope), x)
    if not slope:
        return l.emit(Clip(low=max(low, 0.0), high=high), x)
    return l.emit(ClippedRelu(slope=slope, low=low or -inf, high=high, keeps_nan=False), x)


@layer("ReLU6", "relu6_param")
def relu6(l: Layer, x: Value) -> Value:
    """The smaller of 6 and max(x, 0) + negative_slope * min(x, 0) (MobileNet-YOLO's relu6_layer.cpp)."""
    return l.emit(ClippedRelu(slope=l.number("negative_slope"), high=6.0), x)


@layer("PReLU", "prelu_param")
def prelu(l: Layer, x: Value) -> Value:
    """One slope per channel or, with channel_shared, one for all (prelu_layer.cpp)."""
    if x.type.rank < 2:
        raise l.fault(f"it needs channels, and the data is {x.type}")
    slope = l.weight(() if l.param["channel_shared"] else (l.size(x, 1),), "slope")
    return l.emit(PRelu(), x, slope)


@layer("ELU", "elu_param")
def elu(l: Layer, x: Value) -> Value:
    """x where x > 0, else alpha * (exp(x) - 1) (elu_layer.cpp)."""
    return l.emit(Elu(alpha=l.number("alpha")), x)


@layer("SeLU", "selu_param")
@layer("SeLu", "selu_param")
def selu(l: Layer, x: Value) -> Value:
    """lambda * x where x > 0, else lambda * alpha * (exp(x) - 1) (synopsys-caffe's selu_layer.cpp).

    Networks of caffe-model spell it SeLu.
    """
    return l.emit(Power(scale=l.number("lambda")), l.emit(Elu(alpha=l.number("alpha")), x))


@layer("HardSigmoid", "hard_sigmoid_param")
def hard_sigmoid(l: Layer, x: Value) -> Value:
    """alpha * x + beta, at least 0 and at most 1 (synopsys-caffe's hard_sigmoid_layer.cpp)."""
    inner = l.emit(Power(scale=l.number("alpha"), shift=l.number("beta")), x)
    return l.emit(ClippedRelu(high=1.0), inner)


@layer("Sigmoid", "sigmoid_param")
def sigmoid(l: Layer, x: Value) -> Value:
    """1 / (1 + exp(-x)) (sigmoid_layer.cpp)."""
    return l.emit(Sigmoid(), x)


@layer("TanH", "tanh_param")
def tanh(l: Layer, x: Value) -> Value:
    """The hyperbolic tangent (tanh_layer.cpp)."""
    return l.emit(TanH(), x)


@layer("AbsVal")
def absval(l: Layer, x: Value) -> Value:
    """|x| (absval_layer.cpp). CompileError if it is in place, as in Caffe."""
    l.require_new_tops()
    return l.emit(Abs(), x)


@layer("Power", "power_param")
def power(l: Layer, x: Value) -> Value:
    """(shift + scale * x) ^ power (power_layer.cpp)."""
    return l.emit(Power(power=l.number("power"), scale=l.number("scale"), shift=l.number("shift")), x)


@layer("Exp", "exp_param")
def exp(l: Layer, x: Value) -> Value:
    """base ^ (shift + scale * x) (exp_layer.cpp)."""
    return l.emit(Exp(base=base(l), scale=l.number("scale"), shift=l.number("shift")), x)


@layer("Log", "log_param")
def log(l: Layer, x: Value) -> Value:
    """log_base(shift + scale * x) (log_layer.cpp)."""
    if base(l) == 1:
        raise l.fault("the base of a logarithm cannot be 1", "base")
    return l.emit(Log(base=base(l), scale=l.number("scale"), shift=l.number("shift")), x)


def base(l: Layer) -> float:
    """The base of Exp or Log; -1 is Euler's number. CompileError if it is not positive and finite otherwise."""
    given = l.number("base")
    if given != -1 and not 0 < given < inf:
        raise l.fault(f"base is above 0, or -1 for Euler's number, not {given:g}", "base")
    return e if given == -1 else given


@layer("BNLL")
def bnll(l: Layer, x: Value) -> Value:
    """log(1 + exp(x)) (bnll_layer.cpp)."""
    return l.emit(Bnll(), x)


@layer("Swish", "swish_param")
def swish(l: Layer, x: Value) -> Value:
    """x * sigmoid(beta * x) (swish_layer.cpp)."""
    return l.emit(Swish(beta=l.number("beta")), x)


@layer("Mish")
def mish(l: Layer, x: Value) -> Value:
    return l.emit(Mish(), x)


@layer("HardSwish")
def hard_swish(l: Layer, x: Value) -> Value:
    return l.emit(HardSwish(), x)


@layer("Clip", "clip_param")
def clip(l: Layer, x: Value) -> Value:
    """min(max(x, min), max) (clip_layer.cpp)."""
    for field in ("min", "max"):
        if not l.param.is_set(field):
            raise l.fault(f"it has no {field}", advice="Give clip_param { min: ... max: ... }: Caffe asks for both.")
    return l.emit(Clip(low=l.number("min"), high=l.number("max")), x)


@layer("Threshold", "threshold_param")
def threshold(l: Layer, x: Value) -> Value:
    """1 where x > threshold, else 0 (threshold_layer.cpp)."""
    return l.emit(Threshold(threshold=l.number("threshold")), x)


@layer("Dropout", "dropout_param")
def dropout(l: Layer, x: Value) -> Value:
    """The identity in inference; without CTPN's `scale_train` it is (1 - dropout_ratio) * x (dropout_layer.cpp)."""
    p, ratio = l.param, l.number("dropout_ratio")
    if p["sample_weights_test"]:  # Bayesian SegNet's
        advice = "With sample_weights_test: false, the default, it is the identity in TEST."
        raise l.fault("it draws at random in TEST, too: no two results would be equal", "sample_weights_test", advice)
    if p["scale_train"]:
        return l.emit(Dropout(ratio=ratio), x)
    with np.errstate(all="ignore"):
        kept = np.float32(1) / np.float32(1 / (1 - np.float32(ratio)))
    return l.emit(Power(scale=float(kept)), x)


@layer("SpatialDropout", "spatial_dropout_param")
@layer("SeLUDropout", "selu_dropout_param")
@layer("SeLuDropout", "selu_dropout_param")
def other_dropout(l: Layer, x: Value) -> Value:
    """The identity in inference (Intel's spatial_dropout_layer.cpp, synopsys-caffe's selu_dropout_layer.cpp)."""
    return l.emit(Dropout(ratio=l.number("dropout_ratio")), x)
