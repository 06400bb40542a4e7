"""Matrix products as C: the rows are the pixels of the tile."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

import torch
from torch import Tensor

from ..plan import Slot
from .image import Image, first_float
from .product import Product, write_product
from .site import Extra, Floats, NotNative, Site, WrittenStep


def write_linear(site: Site) -> WrittenStep:
    """The step `linear`: x, flattened from `axis` on to [rows, length], times w, plus a bias.

    NotNative, with the reason, if this is not written here.
    """
    name, weight, *rest = site.step.operands
    bias = rest.pop(0) if site.payload["bias"] else None
    shape, slot, made = site.weight_shape(weight), site.slot(name), site.slot(site.step.results[0])
    axis, transpose = site.payload["axis"] % len(slot.dims), site.payload["transpose"]
    outputs, length = shape[::-1] if transpose else shape
    x, y = rows_of(slot, axis), rows_of(made, len(made.dims) - 1)
    if x is None or y is None:
        raise NotNative("the rows are not in Caffe's order")
    fits = x.channels == length and y.channels == outputs and x.width == y.width
    if not fits or (bias and site.weight_shape(bias) != (outputs,)):
        raise NotNative(f"a weight of {list(shape)} does not take {list(slot.dims)} to {list(made.dims)}")
    extras = site.extras(rest, y, made.bounds, partial(extra_of_rows, site))
    product = Product(x, y, (0, x.col), (1, 1, length), (0, 0), 1, outputs, x.at, True)
    pack = partial(pack_linear, weight, bias, transpose)
    return write_product(site, product, pack, extras, f"linear: [{x.width},{length}] -> [{y.width},{outputs}]")


def extra_of_rows(site: Site, name: str) -> Extra:
    """An operand of the epilogue, of the result's shape. NotNative if its rows are not in Caffe's order."""
    slot = site.slot(name)
    found = rows_of(slot, len(slot.dims) - 1)
    if found is None:
        raise NotNative(f"the rows of {name} are not in Caffe's order")
    return Extra(site.place(name, found.at), found.image, found.row, found.col)


def rows_of(slot: Slot, axis: int) -> Image | None:
    """A value flattened from `axis` on, as one row of pixels; None if it is not in Caffe's order."""
    if slot.dtype != "f32" or not slot.is_static or slot.halo:
        return None
    dims = slot.bounds
    rows, length = prod(dims[:axis]), prod(dims[axis:])
    invariant = len(dims) < 3 or prod(dims[2:]) == 1 or dims[1] == 1
    if slot.layout != "nchw" and not invariant:
        return None
    stride, at = length, first_float(slot)
    if slot.channels:
        if axis != 1 or prod(dims[2:]) != 1:
            return None
        at, stride = at + slot.channels[0], slot.channels[1]
    return Image(1, length, 1, rows, at, stride, rows * stride, rows * stride)


def pack_linear(
    weight: str, bias: str | None, transpose: bool, weights: Mapping[str, Floats]
) -> tuple[Tensor, Floats | None]:
    """The weight as [outputs, length], and the bias [outputs]."""
    w = torch.from_numpy(weights[weight])
    return w.T if transpose else w, weights[bias] if bias else None
