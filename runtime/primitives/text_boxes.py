"""CTPN's boxes of text lines: anchors of fixed widths, moved up or down (text_proposal_layer.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import CallSite, Primitive, Run, require


def prepare(call: CallSite) -> Run:
    """Boxes [h w a, 4] of x0, y0, x1, y1, cut to the image."""
    anchors = torch.tensor(call.attributes["anchors"], dtype=torch.float32).reshape(-1, 4)
    _, _, height, width = call.operands[0].shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    corners = torch.stack([x, y, x, y], -1)[:, :, None] * call.attributes["stride"]
    left, top, right, bottom = (anchors + corners).unbind(-1)  # [h, w, a] each
    middle, high = (top + bottom) / 2, bottom - top + 1

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        move = operands[0][0].permute(1, 2, 0).reshape(height, width, -1, 2)
        limit = operands[1].reshape(-1)[:2] - 1
        own = move[..., 1].exp() * high
        upper = move[..., 0] * high + middle - own / 2
        made = torch.stack([left, upper, right, upper + own], -1)
        results[0].copy_(torch.minimum(made, limit[[1, 0, 1, 0]]).clamp(min=0).reshape(-1, 4))

    return run


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    deltas, info = operands
    numbers = len(attributes["anchors"])
    require(numbers > 0 and numbers % 4 == 0, "anchors are fours of numbers")
    require(len(deltas) == 4 and tuple(deltas[:2]) == (1, numbers // 2), f"deltas are [1, {numbers // 2}, h, w]")
    require(prod(info) >= 2, "it takes the image's height and width")
    return [(deltas[2] * deltas[3] * numbers // 4, 4)]


TEXT_BOXES = Primitive(prepare, infer_shapes)
