"""Resizing of some axes by the rules of TensorFlow and ONNX: the neighbours of each index are found beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, require

HALF = torch.tensor(0.5)


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    x, axis, axes = operands[0], attributes["axis"], attributes["axes"]
    require(0 <= axis <= axis + axes <= min(map(len, operands)), f"no {axes} axes from {axis} on in {list(x)}")
    base = [max(shape[i] for shape in operands[1:] or operands) for i in range(axis, axis + axes)]
    made, multiple = list(attributes["sizes"]), attributes["multiple"]
    require(
        multiple >= 1 and len(made) in (0, axes), f"{made} and a multiple of {multiple} are no sizes of {axes} axes"
    )
    if scale := attributes["scale"]:
        require(
            len(scale) == axes and all(map(isfinite, map(float, scale))),
            f"{scale} is not a number for each of {axes} axes",
        )
        scaled = [int((torch.tensor(float(n)) * s).floor()) for n, s in zip(base, map(float, scale), strict=True)]
        made = [given or n for given, n in zip(made or [0] * axes, scaled, strict=True)]
    made = made or [-(-n // multiple) * multiple for n in base]
    if attributes["enlarge"] and not all(new > n for new, n in zip(made, base, strict=True)):
        made = base
    require(min((1, *made)) >= 1 and min((1, *x[axis : axis + axes])) >= 1, f"{list(x)} cannot be resized to {made}")
    return [(*x[:axis], *made, *x[axis + axes :])]


def prepare(call: CallSite) -> Run:
    axis, linear = call.attributes["axis"], call.attributes["how"] == "linear"
    require(linear or call.attributes["how"] == "nearest", f"there is no resizing {call.attributes['how']}")
    whole, made = call.operands[0].shape, call.results[0].shape
    ways = [
        (i, *find_neighbours(whole[i], made[i], call.attributes["align"], linear, len(whole) - 1 - i))
        for i in reversed(range(axis, axis + call.attributes["axes"]))
    ]

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        x = operands[0]
        for i, low, high, part in ways:
            left = x.index_select(i, low)
            x = torch.addcmul(left, x.index_select(i, high) - left, part) if linear else left
        results[0].copy_(x)

    return run


def find_neighbours(size: int, count: int, align: str, linear: bool, behind: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two indices around each new one, and its distance from the first, shaped for `behind` axes after this one."""
    i = torch.arange(count, dtype=torch.float32)
    corners = align == "corners" and count > 1
    scale = torch.tensor(float(size - corners)) / torch.tensor(float(count - corners))
    centred = align in ("centers", "torch", "onnx")
    at = (i + HALF) * scale if centred else i * scale
    if linear:
        at = at - HALF if centred else at
        at = torch.full((1,), -0.5) if align == "torch" and count == 1 else at
        low, high = at.floor(), at.ceil()
    else:
        at = (at.double() + 0.5).floor() if align == "corners" else at - HALF if align == "onnx" else at
        low = high = at.floor()
    first, second = (end.clamp(0, size - 1).long() for end in (low, high))
    return first, second, (at - low).float().reshape(-1, *[1] * behind)


RESIZE = Primitive(prepare, infer_shapes)
