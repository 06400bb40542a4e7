"""Layers that reduce or rank elements: Reduction, ArgMax, Accuracy, Silence."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.loss import Accuracy
from ....compiler.ops.reduce import Argmax, Reduce
from ....compiler.ops.shape import Concat, Flatten, Reshape
from ..layer import MANY, Layer, layer
from .loss import ignored_label


@layer("Reduction", "reduction_param")
def reduction(l: Layer, x: Value) -> Value:
    """Reduce all dimensions from `axis` on to one element (reduction_layer.cpp)."""
    how = l.choice("operation", {"SUM": "sum", "ASUM": "asum", "SUMSQ": "sumsq", "MEAN": "mean"})
    return l.emit(Reduce(how=how, axis=l.axis(l.param["axis"], x), coeff=l.number("coeff")), x)


@layer("ArgMax", "argmax_param")
def argmax(l: Layer, x: Value) -> Value:
    """Indices of the top_k largest elements (argmax_layer.cpp).

    With `axis`, along that axis, whose size becomes top_k; out_max_val returns the values instead. Without, over each
    whole image: [n, 1, top_k], or [n, 2, top_k] with out_max_val, the values after the indices; dimensions of 1 follow
    up to the rank of x.
    """
    p, numbers = l.param, l.param["out_max_val"]
    if p.is_set("axis"):
        axis = l.axis(p["axis"], x)
        return l.emit_all(Argmax(axis=axis, top=top_k(l, l.size(x, axis)), numbers=numbers), x)[-1]
    if not x.type.rank:
        raise l.fault(f"it needs a batch, and the data is {x.type}")
    rows = l.emit(Flatten(), x) if x.type.rank > 1 else l.emit(Reshape(shape=(0, 1)), x)
    top = top_k(l, l.size(rows, 1))
    shape = (0, 1, top, *[1] * (x.type.rank - 3))
    found = [l.emit(Reshape(shape=shape), y) for y in l.emit_all(Argmax(top=top, numbers=numbers), rows)]
    return l.emit(Concat(), *found) if numbers else found[0]


@layer("Accuracy", "accuracy_param", bottoms=2, tops=(1, 2))
def accuracy(l: Layer, x: Value, label: Value) -> tuple[Value, ...]:
    """The fraction of labels among the top_k scores; the second top is the same per class (accuracy_layer.cpp)."""
    p = l.param
    axis = l.axis(p["axis"], x)
    top, classes = top_k(l, l.size(x, axis)), len(l.tops) == 2
    op = Accuracy(axis=axis, ignore=ignored_label(p), top=top, classes=classes)
    return l.emit_all(op, x, label)


def top_k(l: Layer, most: int) -> int:
    """The setting top_k. CompileError if it is not 1 to `most`."""
    top: int = l.param["top_k"]
    if not 1 <= top <= most:
        raise l.fault(f"top_k is 1 to {most} here, not {top}", "top_k")
    return top


@layer("Silence", bottoms=(1, MANY), tops=0)
def silence(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Mark the bottoms as read, so that they are not outputs of the net (silence_layer.cpp)."""
    return ()
