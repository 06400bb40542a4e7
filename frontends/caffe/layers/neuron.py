"""Layers that treat each number alone (Caffe: NeuronLayer)."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.activation import Abs, Dropout, Elu, PRelu, Relu, Sigmoid, TanH
from ....compiler.ops.arithmetic import Power
from ..layer import Layer, layer, shortest


@layer("ReLU", "relu_param")
def relu(l: Layer, x: Value) -> Value:
    return l.emit(Relu(slope=l.number("negative_slope")), x)


@layer("PReLU", "prelu_param")
def prelu(l: Layer, x: Value) -> Value:
    """One slope for each channel or, with channel_shared, one for all (prelu_layer.cpp)."""
    if x.type.rank < 2:
        raise l.fault(f"it needs channels, and the data is {x.type}")
    slope = l.weight(() if l.param["channel_shared"] else l.known(x)[1:2], "slope")
    return l.emit(PRelu(), x, slope)


@layer("ELU", "elu_param")
def elu(l: Layer, x: Value) -> Value:
    return l.emit(Elu(alpha=l.number("alpha")), x)


@layer("Sigmoid")
def sigmoid(l: Layer, x: Value) -> Value:
    return l.emit(Sigmoid(), x)


@layer("TanH")
def tanh(l: Layer, x: Value) -> Value:
    return l.emit(TanH(), x)


@layer("AbsVal")
def absval(l: Layer, x: Value) -> Value:
    if l.message["bottom"][0] == l.tops[0]:
        raise l.fault("Caffe does not let AbsVal be in place", None, "Give the top a name of its own.")
    return l.emit(Abs(), x)


@layer("Power", "power_param")
def power(l: Layer, x: Value) -> Value:
    return l.emit(Power(power=l.number("power"), scale=l.number("scale"), shift=l.number("shift")), x)


@layer("Dropout", "dropout_param")
def dropout(l: Layer, x: Value) -> Value:
    return l.emit(Dropout(ratio=shortest(l.param["dropout_ratio"])), x)
