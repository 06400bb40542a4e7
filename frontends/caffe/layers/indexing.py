"""Layers that select, repeat or reorder elements: Tile, Permute, Reverse, Embed, BatchReindex, Filter."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.arithmetic import Power
from ....compiler.ops.channels import Bias
from ....compiler.ops.indexing import Filter, Flip, Gather, Tile, Transpose
from ..layer import MANY, Layer, layer


@layer("Tile", "tile_param")
def tile(l: Layer, x: Value) -> Value:
    """Repeat the blob `tiles` times along one axis (tile_layer.cpp)."""
    p = l.param
    if p["tiles"] < 1:
        raise l.fault("tiles has to be 1 or more", "tiles", "Add tiles: and a number.")
    return l.emit(Tile(tiles=p["tiles"], axis=l.axis(p["axis"], x)), x)


@layer("Permute", "permute_param")
def permute(l: Layer, x: Value) -> Value:
    """Transpose; axes that `order` omits follow in their order (SSD's permute_layer.cpp).

    An identity permutation makes no copy: the top aliases the bottom, as in SSD's.
    """
    given = l.param["order"]
    for i in given:
        l.axis(i, x, "order")
    if len(set(given)) < len(given):
        raise l.fault(f"order {list(given)} names an axis twice", "order")
    order = (*given, *(i for i in range(x.type.rank) if i not in given))
    return x if order == tuple(range(x.type.rank)) else l.emit(Transpose(order=order), x)


@layer("Reverse", "reverse_param", dialect="ctpn", fields=("axis",))
def reverse_axis(l: Layer, x: Value) -> Value:
    """Reverse the order along one axis, by default the first (CTPN's reverse_layer.cpp)."""
    axes = l.param["axis"] or (0,)
    if len(axes) > 1 or not 0 <= axes[0] < x.type.rank:
        raise l.mismatch(f"axis is one number from 0 to {x.type.rank - 1}", "axis")
    return l.emit(Flip(axes=axes), x)


@layer("Reverse", "reverse_param", dialect="synopsys", fields=("axis",))
def reverse_axes(l: Layer, x: Value) -> Value:
    """Reverse the order along each axis that is given; without one, copy (synopsys-caffe's reverse_layer.cpp)."""
    axes = tuple(l.axis(axis, x) for axis in l.param["axis"])
    if len(set(axes)) < len(axes):
        raise l.fault(f"it names an axis of {x.type} twice", "axis")
    return l.emit(Flip(axes=axes) if axes else Power(), x)


@layer("Embed", "embed_param")
def embed(l: Layer, x: Value) -> Value:
    """Look up rows of a learnt table [input_dim, num_output]; bias_term adds a bias (embed_layer.cpp)."""
    p = l.param
    for field in ("input_dim", "num_output"):
        if p[field] < 1:
            raise l.fault(f"{field} has to be 1 or more", field, f"Add {field}: and a number.")
    rows = l.emit(Gather(), l.weight((p["input_dim"], p["num_output"]), "weight"), x)
    return l.emit(Bias(axis=x.type.rank), rows, l.weight((p["num_output"],), "bias")) if p["bias_term"] else rows


@layer("BatchReindex", bottoms=2)
def batch_reindex(l: Layer, x: Value, index: Value) -> Value:
    """Gather rows of the first bottom by the indices in the second, [rows] (batch_reindex_layer.cpp)."""
    if index.type.rank != 1:
        raise l.fault(f"the second bottom is a list of rows{l.importer.describe([index])}")
    if x.type.rank < 1:
        raise l.fault(f"there are no rows in {x.type}")
    return l.emit(Gather(), x, index)


@layer("Filter", bottoms=(2, MANY), tops=(1, MANY))
def filter_(l: Layer, *bottoms: Value) -> tuple[Value, ...]:
    """Select the rows of each bottom where the last bottom, the selector, is not 0 (filter_layer.cpp)."""
    if len(l.tops) != len(bottoms) - 1:
        raise l.fault(f"{len(bottoms)} bottoms make {len(bottoms) - 1} tops, and it has {len(l.tops)}")
    return l.emit_all(Filter(), *bottoms)
