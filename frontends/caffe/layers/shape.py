"""Layers that change the shape only: Flatten, Reshape and Squeeze. Their tops alias the bottom's storage."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.shape import Flatten, Reshape, Squeeze
from ..layer import Layer, layer


@layer("Flatten", "flatten_param", shares=True)
def flatten(l: Layer, x: Value) -> Value:
    """Merge the axes from `axis` to `end_axis` (flatten_layer.cpp)."""
    p = l.param
    return l.emit(Flatten(axis=l.axis(p["axis"], x), end_axis=l.axis(p["end_axis"], x, "end_axis")), x)


@layer("Reshape", "reshape_param", shares=True)
def reshape(l: Layer, x: Value) -> Value:
    """Reshape `num_axes` axes from `axis` on; 0 copies a dimension, -1 infers it (reshape_layer.cpp)."""
    p = l.param
    if p["num_axes"] < -1:
        raise l.fault(f"num_axes is 0 or more, or -1 for all, not {p['num_axes']}", "num_axes")
    return l.emit(Reshape(shape=tuple(p["shape"]["dim"]), axis=p["axis"], num_axes=p["num_axes"]), x)


@layer("Squeeze", "squeeze_param", shares=True)
def squeeze(l: Layer, x: Value) -> Value:
    """Drop the axes in `axis`, which are of size 1; if there are none, all of size 1 (synopsys' squeeze_layer.cpp)."""
    l.require_new_tops()
    return l.emit(Squeeze(axes=tuple(sorted({l.axis(axis, x) for axis in l.param["axis"]}))), x)
