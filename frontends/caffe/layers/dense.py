"""Layers on whole vectors: InnerProduct, InnerDistance and Softmax."""

from __future__ import annotations

from math import prod

from ....compiler.ir import Value
from ....compiler.ops.dense import Distance, Linear, Softmax
from ....compiler.ops.shape import Flatten
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


@layer("InnerDistance", "inner_distance_param", bottoms=(1, 2))
def inner_distance(l: Layer, x: Value, given: Value | None = None) -> Value:
    """The distance from learnt rows [num_output, k], or from those of the second bottom (inner_distance_layer.cpp).

    It is the sum of squared or, for distance_type L1, of absolute differences; there is no bias. With `normalize` the
    learnt rows are of length 1 (happynear's Caffe).
    """
    p, axis = l.param, l.axis(l.param["axis"], x)
    norm = {"L1": 1, "L2": 2}.get(p["distance_type"])
    if norm is None:
        raise l.fault(f"distance_type is L1 or L2, not {p['distance_type']}", "distance_type")
    if p["transpose"]:
        raise l.fault(
            "transpose is not computed: Caffe's InnerDistance reads the rows as if they were not", "transpose"
        )
    k = prod(l.sizes(x.type.dims[axis:]))
    if p["update_center_only"] and given is not None:
        raise l.fault("its second bottom is a label, which only training needs", "update_center_only")
    if given is not None:
        centres: Value = l.emit(Flatten(), given) if given.type.rank > 2 else given
    else:
        if p["num_output"] < 1:
            raise l.fault("num_output has to be 1 or more", "num_output")
        centres = unit_rows(l, (p["num_output"], k)) if p["normalize"] else l.weight((p["num_output"], k), "weight")
    return l.emit(Distance(axis=axis, norm=norm), x, centres)


def unit_rows(l: Layer, shape: tuple[int, int]) -> Value:
    """The learnt rows, each divided by the square root of the sum of its squares and 1e-6."""
    rows = l.numbers(shape, "weight")
    made = None if rows is None else rows / (rows.square().sum(1, keepdim=True) + 1e-6).sqrt()
    return l.constant(made, shape, "weight")


@layer("Softmax", "softmax_param")
def softmax(l: Layer, x: Value) -> Value:
    """Softmax along `axis` (softmax_layer.cpp)."""
    return l.emit(Softmax(axis=l.axis(l.param["axis"], x)), x)
