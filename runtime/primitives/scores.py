"""Losses and accuracy from scores and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, axis_of, require


def classes_of(label: Tensor, count: int, ignore: int | None) -> tuple[Tensor, Tensor | None]:
    """Labels as i64 (0 where they are `ignore`), and a bool mask of those that are not ignored; None if `ignore` is.

    ValueError if another label is not in 0 ... count - 1.
    """
    classes = label.reshape(-1).to(torch.int64)
    wrong = (classes < 0) | (classes >= count)
    counts = None
    if ignore is not None:
        counts = classes != ignore
        wrong &= counts
        classes *= counts
    if wrong.any():
        raise ValueError(f"a label is {label.reshape(-1)[wrong][0]:g}, and the classes are 0 to {count - 1}")
    return classes, counts


def flatten_positions(x: Tensor, axis: int) -> Tensor:
    """x as [positions, classes], a view where the strides allow it."""
    return x.movedim(axis, -1).flatten(0, -2) if x.ndim > 1 else x[None]


def positions_and_classes(attributes: Mapping[str, Any], x: Shape, label: Shape) -> tuple[Shape, int]:
    """The shape without `axis`, and the number of classes. ValueError if the labels are not one per position."""
    axis = axis_of(attributes, x)
    positions = (*x[:axis], *x[axis + 1 :])
    require(prod(label) == prod(positions), f"labels {list(label)} do not fit {list(positions)} positions")
    return positions, x[axis]


def infer_cross_entropy_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    positions, classes = positions_and_classes(attributes, *operands[:2])
    gains = [prod(gain) for gain in operands[2:]]
    require(gains in ([], [classes * classes]), f"{classes} classes take {classes * classes} gains")
    return [positions]


def prepare_cross_entropy(call: CallSite) -> Run:
    axis, ignore, floor = axis_of(call.attributes, call.operands[0].shape), *pick(call, "ignore", "floor")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        table = flatten_positions(operands[0], axis)
        classes, counts = classes_of(operands[1], table.shape[1], ignore)
        if len(operands) == 2:
            lost = table.gather(1, classes[:, None])[:, 0].clamp_(min=floor).log_()
        else:
            gain = operands[2].reshape(table.shape[1], -1)
            lost = (gain[classes] * table.clamp(min=floor).log_()).sum(1)
        if counts is not None:
            lost.masked_fill_(~counts, 0)
        results[0].copy_(lost.neg_().reshape(results[0].shape))

    return run


def infer_hinge_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, label = operands
    require(len(x) > 0 and prod(label) == x[0], f"labels {list(label)} do not fit the rows of {list(x)}")
    return [x]


def prepare_hinge(call: CallSite) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        rows = operands[0].flatten(1) if operands[0].ndim > 1 else operands[0][:, None]
        classes, _ = classes_of(operands[1], rows.shape[1], None)
        margin = 1 + rows.scatter(1, classes[:, None], -rows.gather(1, classes[:, None]))
        margin.masked_fill_(~(margin > 0), 0)  # also where it is NaN
        results[0].copy_(margin.reshape(results[0].shape))

    return run


def infer_total_loss_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    losses, *label = operands
    require(0 <= attributes["axis"] <= len(losses), f"axis {attributes['axis']} is not 0 to {len(losses)}")
    require(all(prod(s) == prod(losses) for s in label), f"labels do not fit {list(losses)} positions")
    require(bool(label) or attributes["ignore"] is None, "ignore needs labels")
    return [()]


def prepare_total_loss(call: CallSite) -> Run:
    by, axis, ignore, scale = pick(call, "by", "axis", "ignore", "scale")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        losses, result = operands[0], results[0]
        valid = losses.numel()
        if ignore is None:
            torch.sum(losses, tuple(range(losses.ndim)), out=result)
        else:
            skipped = operands[1].reshape(losses.shape).to(torch.int64) == ignore
            valid -= int(skipped.count_nonzero())
            torch.sum(losses.masked_fill(skipped, 0), tuple(range(losses.ndim)), out=result)
        divisor = {"all": losses.numel(), "valid": valid, "batch": prod(losses.shape[:axis]), "none": 1}[by]
        result.mul_(scale).div_(max(1, divisor))

    return run


def infer_accuracy_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    _, classes = positions_and_classes(attributes, *operands)
    require(1 <= attributes["top"] <= classes, f"top is 1 to {classes}, not {attributes['top']}")
    return [(), (classes,)] if attributes["classes"] else [()]


def prepare_accuracy(call: CallSite) -> Run:
    axis, ignore, top = axis_of(call.attributes, call.operands[0].shape), *pick(call, "ignore", "top")

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        table = flatten_positions(operands[0], axis)
        classes, counts = classes_of(operands[1], table.shape[1], ignore)
        own = table.gather(1, classes[:, None])
        right = (table >= own).sum(1) <= top  # the label's own score counts itself
        if counts is not None:
            classes = classes[counts]
            right = right[counts]
        results[0].fill_(right.sum() / max(1, len(right)))
        if len(results) == 2:
            asked = classes.bincount(minlength=table.shape[1])
            found = classes[right].bincount(minlength=table.shape[1])
            results[1].copy_(found / asked.clamp_(min=1))

    return run


def pick(call: CallSite, *names: str) -> tuple[Any, ...]:
    return tuple(call.attributes[name] for name in names)


CROSS_ENTROPY = Primitive(prepare_cross_entropy, infer_cross_entropy_shapes)
HINGE = Primitive(prepare_hinge, infer_hinge_shapes)
TOTAL_LOSS = Primitive(prepare_total_loss, infer_total_loss_shapes)
ACCURACY = Primitive(prepare_accuracy, infer_accuracy_shapes)
