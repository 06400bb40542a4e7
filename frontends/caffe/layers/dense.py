"""Layers on whole vectors: InnerProduct and Softmax."""

from __future__ import annotations

from math import prod

from ....compiler.ir import Value
from ....compiler.ops.dense import Linear, Softmax
from ..layer import Layer, layer


@layer("InnerProduct", "inner_product_param")
def inner_product(l: Layer, x: Value) -> Value:
    """Multiply by a matrix [num_output, k], or [k, num_output] with transpose (inner_product_layer.cpp).

    k is the product of all dimensions from `axis` on.
    """
    p = l.param
    axis, outputs = l.axis(p["axis"], x), p["num_output"]
    if outputs < 1:
        raise l.fault("num_output has to be 1 or more", "num_output")
    taken = x.type.dims[axis:]
    k = prod(l.sizes(taken))
    weight = l.weight((k, outputs) if p["transpose"] else (outputs, k), "weight")
    bias = (l.weight((outputs,), "bias"),) if p["bias_term"] else ()
    return l.emit(Linear(axis=axis, transpose=p["transpose"]), x, weight, *bias)


@layer("Softmax", "softmax_param")
def softmax(l: Layer, x: Value) -> Value:
    """Softmax along `axis` (softmax_layer.cpp)."""
    return l.emit(Softmax(axis=l.axis(l.param["axis"], x)), x)
