"""Distances of rows from centres, one block of centres at a time, so that the differences stay in the caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, axis_of, require

BLOCK = 1 << 18  # differences


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, centres = operands
    axis = axis_of(attributes, x)
    require(len(centres) == 2 and centres[1] == prod(x[axis:]), f"{list(centres)} are no centres for {list(x)}")
    require(attributes["norm"] in (1, 2), f"norm is 1 or 2, not {attributes['norm']}")
    return [(*x[:axis], centres[0])]


def prepare(call: CallSite) -> Run:
    norm = call.attributes["norm"]
    count, length = call.operands[1].shape

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        rows = operands[0].reshape(-1, 1, length)
        made = rows.new_empty(len(rows), count)
        step = max(BLOCK // max(len(rows) * length, 1), 1)
        for start in range(0, count, step):
            difference = rows - operands[1][start : start + step]
            each = difference.abs_() if norm == 1 else difference.mul_(difference)
            made[:, start : start + step] = each.sum(-1)
        results[0].copy_(made.view(results[0].shape))

    return run


DISTANCE = Primitive(prepare, infer_shapes)
