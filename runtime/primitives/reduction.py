"""Reductions: sums and means, argmax, and standardization by mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, axis_of, require


def infer_reduce_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    return [operands[0][: axis_of(attributes, operands[0])]]


def prepare_reduce(call: CallSite) -> Run:
    how, coeff, rank = call.attributes["how"], call.attributes["coeff"], len(call.operands[0].shape)
    over = tuple(range(axis_of(call.attributes, call.operands[0].shape), rank))

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x, result = operands[0], results[0]
        each = x.abs() if how == "asum" else x * x if how == "sumsq" else x
        (torch.mean if how == "mean" else torch.sum)(each, over, out=result)
        if coeff != 1:
            result.mul_(coeff)

    return run


def infer_argmax_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    axis, top = axis_of(attributes, x), attributes["top"]
    require(1 <= top <= x[axis], f"top is 1 to {x[axis]}, not {top}")
    return [(*x[:axis], top, *x[axis + 1 :])] * len(planned)


def prepare_argmax(call: CallSite) -> Run:
    """Indices, and values, of the `top` largest; of equal values the last comes first, so the axis is flipped."""
    axis, top = axis_of(call.attributes, call.operands[0].shape), call.attributes["top"]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        flipped = operands[0].flip(axis)
        if top == 1:
            values, indices = flipped.max(axis, keepdim=True)
        else:
            values, indices = flipped.sort(dim=axis, descending=True, stable=True)
            values, indices = values.narrow(axis, 0, top), indices.narrow(axis, 0, top)
        results[0].copy_(indices.neg().add_(flipped.shape[axis] - 1))
        if len(results) == 2:
            results[1].copy_(values)

    return run


def infer_standardize_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    require(
        all(-len(x) <= axis < len(x) for axis in attributes["per"]), f"{attributes['per']} are not axes of {list(x)}"
    )
    return [x]


def prepare_standardize(call: CallSite) -> Run:
    """Subtract the mean over all axes but `per`, and divide by the deviation, in two passes as in Caffe."""
    rank, eps, scaled = len(call.operands[0].shape), call.attributes["eps"], call.attributes["scaled"]
    in_variance = call.attributes["eps_in"] == "variance"
    per = {axis % rank for axis in call.attributes["per"]} if rank else set[int]()
    axes = [axis for axis in range(rank) if axis not in per]

    def mean(x: Tensor) -> Tensor:
        return x.mean(axes, keepdim=True) if axes else x.clone()  # torch would take no axes as all

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        result = results[0]
        torch.sub(operands[0], mean(operands[0]), out=result)
        if scaled:
            variance = mean(result * result)
            result.div_(variance.add_(eps).sqrt_() if in_variance else variance.sqrt_().add_(eps))

    return run


REDUCE = Primitive(prepare_reduce, infer_reduce_shapes)
ARGMAX = Primitive(prepare_argmax, infer_argmax_shapes)
STANDARDIZE = Primitive(prepare_standardize, infer_standardize_shapes)
