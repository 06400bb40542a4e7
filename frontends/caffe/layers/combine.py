"""Layers with several bottoms or several tops: Eltwise, Concat, Slice, Split."""

from __future__ import annotations

from functools import reduce

from ....compiler.ir import Value
from ....compiler.ops.arithmetic import Add, Max, Mul
from ....compiler.ops.shape import Concat, Slice
from ..layer import MANY, Layer, layer, shortest_decimal


@layer("Eltwise", "eltwise_param", bottoms=(2, MANY))
def eltwise(l: Layer, *bottoms: Value) -> Value:
    """The elementwise sum (with coefficients), product or maximum of blobs of equal shape (eltwise_layer.cpp)."""
    p = l.param
    coefficients = [shortest_decimal(c) for c in p["coeff"]]
    if coefficients and (p["operation"] != "SUM" or len(coefficients) != len(bottoms)):
        what = f"{len(coefficients)} coefficients for {len(bottoms)} bottoms and {p['operation']}"
        raise l.fault(what, "coeff", "Coefficients go with SUM, one for each bottom.")
    if p["operation"] == "PROD":
        return reduce(lambda x, y: l.emit(Mul(), x, y), bottoms)
    if p["operation"] == "MAX":
        return reduce(lambda x, y: l.emit(Max(), x, y), bottoms)
    first, *rest = coefficients or [1.0] * len(bottoms)
    total = l.emit(Add(alpha=first, beta=rest[0]), *bottoms[:2])
    for x, beta in zip(bottoms[2:], rest[1:], strict=True):
        total = l.emit(Add(beta=beta), total, x)
    return total


@layer("Concat", "concat_param", bottoms=(1, MANY))
def concat(l: Layer, *bottoms: Value) -> Value:
    """Concatenate along one axis; a single bottom is the top itself (concat_layer.cpp)."""
    axis = legacy_axis(l, bottoms[0], "concat_dim")
    return l.emit(Concat(axis=axis), *bottoms) if len(bottoms) > 1 else bottoms[0]


@layer("Slice", "slice_param", tops=(1, MANY))
def slice_(l: Layer, x: Value) -> Value | tuple[Value, ...]:
    """Split one axis at the indices in slice_point, or into equal slices (slice_layer.cpp)."""
    points, axis = l.param["slice_point"], legacy_axis(l, x, "slice_dim")
    if points and len(points) != len(l.tops) - 1:
        raise l.fault(
            f"{len(points)} slice points make {len(points) + 1} slices, and there are {len(l.tops)} tops", "slice_point"
        )
    if len(l.tops) == 1:
        return x
    return l.emit_all(Slice(axis=axis, points=points, parts=1 if points else len(l.tops)), x)


def legacy_axis(l: Layer, x: Value, legacy: str) -> int:
    """The axis, from `axis` or its older name `legacy`. CompileError if both are set."""
    if legacy in l.param and "axis" in l.param:
        raise l.fault(f"axis and {legacy} are both given", legacy, "Keep axis.")
    field = legacy if legacy in l.param else "axis"
    return l.axis(l.param[field], x, field)


@layer("Split", tops=(1, MANY), shares=True)
def split(l: Layer, x: Value) -> tuple[Value, ...]:
    """The same blob under several names."""
    return (x,) * len(l.tops)
