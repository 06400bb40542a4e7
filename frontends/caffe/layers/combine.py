"""Layers with several bottoms or several tops: Eltwise, Concat, Slice, Split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....compiler.ir import Value
from ....compiler.op import Op
from ....compiler.ops.arithmetic import Add, Div, Max, Min, Mul, Power
from ....compiler.ops.shape import Concat, Slice
from ..layer import MANY, Layer, layer, shortest_decimal


@layer("Eltwise", "eltwise_param", bottoms=(1, MANY))
def eltwise(l: Layer, *bottoms: Value) -> Value:
    """The elementwise sum (with coefficients), product or maximum of blobs of equal shape (eltwise_layer.cpp).

    DIV, of two blobs, and MIN are synopsys-caffe's. A single blob times its coefficient is FlowNet 2's.
    """
    combine = l.choice(
        "operation", {"SUM": add, "PROD": fold(Mul()), "MAX": fold(Max()), "MIN": fold(Min()), "DIV": divide}
    )
    if l.param["coeff"] and combine is not add:
        advice = "Remove them: Caffe refuses them with PROD, and ignores them with MAX."
        raise l.fault("coefficients go with operation: SUM", "coeff", advice)
    if len(bottoms) == 1 and not l.param["coeff"]:
        raise l.fault("it has 1 bottoms, and takes 2 or more, or one and its coeff")
    return combine(l, bottoms)


def add(l: Layer, bottoms: Sequence[Value]) -> Value:
    """The sum of the bottoms, each times its coefficient if there are any."""
    coefficients = [shortest_decimal(c) for c in l.param["coeff"]]
    if coefficients and len(coefficients) != len(bottoms):
        sentence = f"it has {len(coefficients)} coefficients and {len(bottoms)} bottoms"
        raise l.fault(sentence, "coeff", "Give one for each bottom, or none.")
    first, *rest = coefficients or [1.0] * len(bottoms)
    if not rest:
        return l.emit(Power(scale=first), *bottoms)
    total = l.emit(Add(alpha=first, beta=rest[0]), *bottoms[:2])
    for x, beta in zip(bottoms[2:], rest[1:], strict=True):
        total = l.emit(Add(beta=beta), total, x)
    return total


def fold(op: Op) -> Callable[[Layer, Sequence[Value]], Value]:
    """A function that applies `op` to the first two bottoms, then to each further bottom and what there is so far.

    In this order, since a maximum or minimum of what cannot be compared is its second operand.
    """

    def apply(l: Layer, bottoms: Sequence[Value]) -> Value:
        found = l.emit(op, *bottoms[:2])
        for x in bottoms[2:]:
            found = l.emit(op, x, found)
        return found

    return apply


def divide(l: Layer, bottoms: Sequence[Value]) -> Value:
    """The first of two bottoms divided by the second."""
    if len(bottoms) != 2:
        raise l.fault(f"DIV takes two bottoms, and it has {len(bottoms)}", "operation")
    return l.emit(Div(), *bottoms)


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
    if l.param.is_set(legacy) and l.param.is_set("axis"):
        raise l.fault(f"axis and {legacy} are both given", legacy, "Keep axis.")
    field = legacy if l.param.is_set(legacy) else "axis"
    return l.axis(l.param[field], x, field)


@layer("Split", tops=(1, MANY), shares=True)
def split(l: Layer, x: Value) -> tuple[Value, ...]:
    """The same blob under several names."""
    return (x,) * len(l.tops)
