"""Primitives for indexing: transpose, flip, reorg, crop, tile, im2col, gather (embedding) and filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .convolution import window_counts
from .primitive import (
    CallSite,
    Primitive,
    Run,
    axis_of,
    padding_edges,
    pads_per_axis,
    per_axis,
    require,
    split_axis,
    store,
)

Attributes = Mapping[str, Any]
PlannedDims = Sequence[Sequence[Dim]]


def infer_transpose_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    (x,), order = operands, attributes["order"]
    require(sorted(order) == list(range(len(x))), f"order {order} does not name each axis of {list(x)} once")
    return [tuple(x[i] for i in order)]


def prepare_transpose(call: CallSite) -> Run:
    order = call.attributes["order"]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        store(results[0], operands[0].permute(order))  # no copy if the result aliases the operand

    return run


def infer_flip_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    (x,), axes = operands, [axis % len(operands[0]) for axis in attributes["axes"]]
    require(all(-len(x) <= axis < len(x) for axis in attributes["axes"]), f"{list(x)} lacks one of the axes {axes}")
    require(len(set(axes)) == len(axes), f"an axis is named twice in {axes}")
    return [x]


def prepare_flip(call: CallSite) -> Run:
    axes = call.attributes["axes"]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        results[0].copy_(operands[0].flip(axes))

    return run


def infer_reorg_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    (x,), s = operands, attributes["stride"]
    require(len(x) == 4 and s >= 1, f"a stride of 1 or more and an image [n, c, h, w], not {s} and {list(x)}")
    n, c, h, w = x
    if attributes["reverse"]:
        require(c % s**2 == 0, f"the channels of {list(x)} are not divided by {s**2}")
        return [(n, c // s**2, h * s, w * s)]
    require(c % s**2 == h % s == w % s == 0, f"{list(x)} is not divided by a stride of {s}")
    return [(n, c * s**2, h // s, w // s)]


def prepare_reorg(call: CallSite) -> Run:
    s = call.attributes["stride"]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        n, c, h, w = operands[0].shape
        if call.attributes["reverse"]:
            moved = operands[0].reshape(n, s, s, c // s**2, h, w).permute(0, 3, 4, 1, 5, 2)
        else:
            moved = operands[0].reshape(n, c // s**2, h, s, w, s).permute(0, 3, 5, 1, 2, 4)
        results[0].copy_(moved.reshape(results[0].shape))

    return run


def infer_crop_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    x, axis = operands[0], axis_of(attributes, operands[0])
    sizes = operands[1][axis : len(x)] if len(operands) == 2 else tuple(attributes["sizes"])
    offset = per_axis(attributes["offset"], len(x) - axis, 0, "offset")
    require(len(sizes) == len(x) - axis, f"{list(sizes)} are not the sizes of {len(x) - axis} axes")
    fits = all(o >= 0 and s >= 0 and o + s <= n for o, s, n in zip(offset, sizes, x[axis:], strict=True))
    require(fits, f"sizes {list(sizes)} cannot be cut out of {list(x[axis:])} from {offset} on")
    return [(*x[:axis], *sizes)]


def prepare_crop(call: CallSite) -> Run:
    shape, whole = call.results[0].shape, call.operands[0].shape
    axis = axis_of(call.attributes, whole)
    offset = per_axis(call.attributes["offset"], len(whole) - axis, 0, "offset")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        part = operands[0]
        for i, start in enumerate(offset, axis):
            part = part.narrow(i, start, shape[i])
        results[0].copy_(part)

    return run


def infer_tile_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    (x,), axis, tiles = operands, axis_of(attributes, operands[0]), attributes["tiles"]
    require(tiles >= 1, f"tiles is 1 or more, not {tiles}")
    return [(*x[:axis], x[axis] * tiles, *x[axis + 1 :])]


def prepare_tile(call: CallSite) -> Run:
    axis = axis_of(call.attributes, call.operands[0].shape)
    sizes = (call.attributes["tiles"], call.operands[0].shape[axis])

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        split_axis(results[0], axis, sizes).copy_(operands[0].unsqueeze(axis))

    return run


def infer_im2col_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    (x,) = operands
    require(3 <= len(x) <= 5, f"it takes one to three image axes, not {list(x)}")
    kernel = per_axis(attributes["kernel"], len(x) - 2, 1, "kernel")
    return [(x[0], max(x[1] * prod(kernel), attributes["channels"]), *window_counts(attributes, x[2:], kernel))]


def prepare_im2col(call: CallSite) -> Run:
    x = call.operands[0].shape
    axes = len(x) - 2
    kernel = per_axis(call.attributes["kernel"], axes, 1, "kernel")
    stride, dilation = (per_axis(call.attributes[name], axes, 1, name) for name in ("stride", "dilation"))
    edges = padding_edges(*pads_per_axis(call.attributes["pad"], axes))
    order = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    made = x[1] * prod(kernel)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        windows = F.pad(operands[0], edges) if any(edges) else operands[0]
        for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
            windows = windows.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
        split_axis(results[0][:, :made], 1, (x[1], *kernel)).copy_(windows.permute(order))
        results[0][:, made:].zero_()

    return run


def infer_gather_shapes(attributes: Attributes, operands: Sequence[Shape], planned: PlannedDims) -> Sequence[Shape]:
    table, index = operands
    require(len(table) >= 1, "the table has no rows")
    return [(*index, *table[1:])]


def prepare_gather(call: CallSite) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        table, index = operands
        rows = index.trunc() if index.is_floating_point() else index
        inside = (rows >= 0) & (rows < table.shape[0])
        if not inside.all():
            raise ValueError(f"an index is {rows[~inside][0].item():g}, and the table has {table.shape[0]} rows")
        store(results[0], table[rows.long()])

    return run


def prepare_filter(call: CallSite) -> Run:
    """Select rows whose selector is not 0; how many there are depends on the data."""
    *values, selector = (o.shape for o in call.operands)
    require(len(values) == len(call.results), f"{len(values)} operands give {len(call.results)} results")
    require(prod(selector[1:]) == 1, f"the selector is one number for each row, not {list(selector)}")
    require(
        all(x[:1] == selector[:1] for x in values),
        f"the selector has {selector[0]} rows, another operand has a different number",
    )

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
        chosen = (operands[-1].flatten() != 0).nonzero().squeeze(1)
        return [torch.index_select(x, 0, chosen) for x in operands[:-1]]

    return run


TRANSPOSE = Primitive(prepare_transpose, infer_transpose_shapes)
FLIP = Primitive(prepare_flip, infer_flip_shapes)
REORG = Primitive(prepare_reorg, infer_reorg_shapes)
CROP = Primitive(prepare_crop, infer_crop_shapes)
TILE = Primitive(prepare_tile, infer_tile_shapes)
IM2COL = Primitive(prepare_im2col, infer_im2col_shapes)
GATHER = Primitive(prepare_gather, infer_gather_shapes)
FILTER = Primitive(prepare_filter, infer_shapes=None)
