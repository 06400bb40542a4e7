"""Data movement: concat, pad, slice, reshape and copy. Nothing is copied where operand and result alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, axis_of, first_shape, is_same_view, require, store


def infer_concat_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    axis = axis_of(attributes, operands[0])
    rest = [(*shape[:axis], *shape[axis + 1 :]) for shape in operands]
    equal = len(set(rest)) == 1 and len({len(shape) for shape in operands}) == 1
    require(equal, f"operands may differ along axis {axis} only: {[list(shape) for shape in operands]}")
    return [(*rest[0][:axis], sum(shape[axis] for shape in operands), *rest[0][axis:])]


def prepare_concat(call: CallSite) -> Run:
    axis = axis_of(call.attributes, call.results[0].shape)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        parts = results[0].split_with_sizes([x.shape[axis] for x in operands], axis)
        for part, operand in zip(parts, operands, strict=True):
            store(part, operand)

    return run


def infer_pad_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,), before, after = operands, attributes["before"], attributes["after"]
    require(len(before) == len(after) == len(x), f"{before} and {after} are not a number for each axis of {list(x)}")
    kept = [n + min(f, 0) + min(a, 0) for n, f, a in zip(x, before, after, strict=True)]
    require(min(kept, default=1) >= 0, f"{before} and {after} are more than there is of {list(x)}")
    return [tuple(f + n + a for f, n, a in zip(before, x, after, strict=True))]


def prepare_pad(call: CallSite) -> Run:
    before, after, value = call.attributes["before"], call.attributes["after"], float(call.attributes["value"])

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        part, x = results[0], operands[0]
        part.fill_(value)
        for axis, (first, last) in enumerate(zip(before, after, strict=True)):
            size = x.shape[axis] + min(first, 0) + min(last, 0)
            x = x.narrow(axis, max(-first, 0), size)
            part = part.narrow(axis, max(first, 0), size)
        part.copy_(x)

    return run


def cut_points(attributes: Mapping[str, Any], x: Shape, count: int) -> list[int]:
    size, points = x[axis_of(attributes, x)], attributes["points"]
    require(bool(points) or size % count == 0, f"{size} cannot be split into {count} equal parts")
    made = [0, *points, size] if points else [size * i // count for i in range(count + 1)]
    require(len(made) == count + 1 and made == sorted(made), f"the points {points} do not fit {count} parts of {size}")
    return made


def infer_slice_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    axis = axis_of(attributes, x)
    return [(*x[:axis], b - a, *x[axis + 1 :]) for a, b in pairwise(cut_points(attributes, x, len(planned)))]


def prepare_slice(call: CallSite) -> Run:
    axis = axis_of(call.attributes, call.operands[0].shape)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        parts = operands[0].split_with_sizes([y.shape[axis] for y in results], axis)
        for part, result in zip(parts, results, strict=True):
            store(result, part)

    return run


def infer_reshape_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,), (dims,), copied = operands, planned, attributes["copied"] or [-1] * len(planned[0])
    require(len(copied) == len(dims) and all(-1 <= axis < len(x) for axis in copied), f"copied {copied} does not fit")
    made = [x[axis] if axis >= 0 else d for d, axis in zip(dims, copied, strict=True)]
    known = prod(d for d in made if isinstance(d, int))
    unknown = [d for d in made if isinstance(d, str)]
    require(len(unknown) <= 1, f"more than one dimension of {list(dims)} is dynamic")
    fits = prod(x) % known == 0 if unknown and known else prod(x) == known
    require(fits, f"{list(x)} cannot take the shape {list(dims)}")
    return [tuple(d if isinstance(d, int) else prod(x) // known if known else 0 for d in made)]


def prepare_reshape(call: CallSite) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        store(results[0], operands[0].reshape(results[0].shape))  # a view if it can be one

    return run


def prepare_copy(call: CallSite) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        result, x = results[0], operands[0]
        if not is_same_view(result, x):
            result.copy_(x)

    return run


CONCAT = Primitive(prepare_concat, infer_concat_shapes)
SLICE = Primitive(prepare_slice, infer_slice_shapes)
RESHAPE = Primitive(prepare_reshape, infer_reshape_shapes)
COPY = Primitive(prepare_copy, first_shape)
PAD = Primitive(prepare_pad, infer_pad_shapes)
