"""Layers of forks on two blobs, of which one is broadcast: Axpy, ChannelScale, Mul, Add, Div, Sub, Minimum, Maximum."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ....compiler.ir import Constant, Value
from ....compiler.op import Op
from ....compiler.ops.arithmetic import Add, Div, Max, Min, Mul, Power
from ....compiler.ops.channels import Bias, Scale
from ....compiler.ops.indexing import Tile
from ....compiler.ops.shape import Flatten, Reshape, Squeeze
from ....compiler.types import Dim
from ..layer import Layer, layer


@layer("Axpy", bottoms=3)
def axpy(l: Layer, a: Value, x: Value, y: Value) -> Value:
    """a * x + y with one a for each image and channel, [n, c] or [n, c, 1, 1] (SENet's axpy_layer.cpp)."""
    if x.type.dims != y.type.dims or x.type.rank < 2 or a.type.dims[:2] != x.type.dims[:2]:
        raise l.fault(f"it takes a [n, c], and x and y [n, c, ...] of one shape{l.importer.describe([a, x, y])}")
    if any(size != 1 for size in a.type.dims[2:]):
        raise l.fault(f"a has one number for each image and channel{l.importer.describe([a, x])}")
    a = l.emit(Flatten(axis=1), a) if a.type.rank > 2 else a
    return l.emit(Add(), l.emit(Scale(axis=0), x, a), y)


@layer("ChannelScale", "channel_scale_param", bottoms=2, tops=(1, 2))
def channel_scale(l: Layer, x: Value, by: Value) -> Value | tuple[Value, ...]:
    """Multiply all channels by the second bottom, which has one (happynear's channel_scale_layer.cpp).

    With `global_scale`, multiply by a learnt number in its place, limited by min_global_scale and max_global_scale; the
    second top is that number. Without `do_forward` it is a copy.
    """
    if x.type.rank != 4 or by.type.dims not in ((x.type.dims[0], *n, *x.type.dims[2:]) for n in ((), (1,))):
        raise l.fault(f"it takes images [n, c, h, w] and scales [n, 1, h, w]{l.importer.describe([x, by])}")
    if len(l.tops) == 2 and not (l.param["global_scale"] and l.param["do_forward"]):
        raise l.fault("it has two tops, and the second is the global_scale", "global_scale")
    if not l.param["do_forward"]:
        return l.emit(Power(), x)
    if l.param["global_scale"]:
        return global_scale(l, x)
    by = by if by.type.rank == 4 else l.emit(Reshape(shape=(1,), axis=1, num_axes=0), by)
    return l.emit(Mul(), x, l.emit(Tile(tiles=l.size(x, 1)), by))


def global_scale(l: Layer, x: Value) -> tuple[Value, ...]:
    """x times the learnt number within its limits, and the number if there is a top for it."""
    stored = l.numbers((1,), "scale")
    low, high = l.number("min_global_scale"), l.number("max_global_scale")
    kept = None if stored is None else torch.clamp(torch.clamp(stored, max=high), min=low)
    number = l.constant(None if kept is None else kept.reshape(()), (), "scale")
    made = l.emit(Scale(axis=0), x, number)
    return (made, l.constant(kept, (1,), "limited_scale"))[: len(l.tops)]


@layer("Add", bottoms=2)
def add(l: Layer, x: Value, y: Value) -> Value:
    """x + y, each broadcast along axes in which it is 1 or absent (synopsys-caffe's add_layer.cpp)."""
    return combine(l, Add(), x, y)


@layer("Sub", bottoms=2)
def subtract(l: Layer, x: Value, y: Value) -> Value:
    """x - y, each broadcast along axes in which it is 1 or absent (synopsys-caffe's sub_layer.cpp)."""
    return combine(l, Add(beta=-1.0), x, y)


@layer("Mul", "mul_param", bottoms=(1, 2))
def multiply(l: Layer, x: Value, y: Value | None = None) -> Value:
    """x * y, each broadcast along axes in which it is 1 or absent (synopsys-caffe's mul_layer.cpp).

    Without a second bottom, y is a learnt blob of the shape `mul_shape`.
    """
    shape = l.param["mul_shape"]
    if y is not None and shape:
        raise l.fault("mul_shape is that of a learnt blob, and it has a second bottom in its place", "mul_shape")
    return combine(l, Mul(), x, l.weight(shape, "factor") if y is None else y)


@layer("Div", bottoms=2)
def divide(l: Layer, x: Value, y: Value) -> Value:
    """x / y, each broadcast along axes in which it is 1 or absent (synopsys-caffe's div_layer.cpp)."""
    return combine(l, Div(), x, y)


@layer("Minimum", bottoms=2)
def minimum(l: Layer, x: Value, y: Value) -> Value:
    """The smaller of x and y, each broadcast along axes in which it is 1 or absent (synopsys' minimum_layer.cpp)."""
    return combine(l, Min(), x, y)


@layer("Maximum", bottoms=2)
def maximum(l: Layer, x: Value, y: Value) -> Value:
    """The larger of x and y, each broadcast along axes in which it is 1 or absent (synopsys' maximum_layer.cpp)."""
    return combine(l, Max(), x, y)


def combine(l: Layer, op: Op, x: Value, y: Value) -> Value:
    """Apply an elementwise operator to operands of any shapes that can be broadcast. CompileError for others."""
    l.require_new_tops()
    if x.type.dims == y.type.dims:
        return l.emit(op, x, y)
    rank = max(x.type.rank, y.type.rank)
    a, b = ((1,) * (rank - v.type.rank) + v.type.dims for v in (x, y))
    if any(p != q and 1 not in (p, q) for p, q in zip(a, b, strict=True)):
        raise l.fault(f"their sizes have to be equal or 1, counted from the last axis{l.importer.describe([x, y])}")
    kind = Bias if op == Add() else Scale if op == Mul() else None
    wide = [i for i, size in enumerate(b) if size != 1]
    inner = slice(wide[0], wide[-1] + 1) if wide else slice(0, 0)
    if kind and x.type.rank == rank and a[inner] == b[inner]:  # y is broadcast around some axes of x: this fuses
        outside = tuple(i for i in range(y.type.rank) if not inner.start <= i + rank - y.type.rank < inner.stop)
        return l.emit(kind(axis=inner.start), x, squeeze(l, y, outside))
    return l.emit(op, expand(l, x, a, b), expand(l, y, b, a))


def squeeze(l: Layer, x: Value, axes: tuple[int, ...]) -> Value:
    """x without these axes; a blob becomes another one, so that it can be folded into the weights before it."""
    if not axes:
        return x
    if not isinstance(x, Constant):
        return l.emit(Squeeze(axes=axes), x)
    shape = tuple(size for axis, size in enumerate(x.type.shape) if axis not in axes)
    return l.constant(x.data.reshape(shape) if x.is_bound else None, shape, "inner")


def expand(l: Layer, x: Value, dims: Sequence[Dim], other: Sequence[Dim]) -> Value:
    """x with new axes in front, so that it has `dims`, and repeated where it is 1 and `other` is not."""
    if missing := len(dims) - x.type.rank:
        x = l.emit(Reshape(shape=(1,) * missing, num_axes=0), x)
    for axis, (size, wanted) in enumerate(zip(dims, other, strict=True)):
        if size == 1 != wanted:
            x = l.emit(Tile(tiles=l.sizes([wanted])[0], axis=axis), x)
    return x
