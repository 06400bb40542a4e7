"""Spatial pyramid pooling: an image pooled to 1, 2², 4², ... windows, concatenated (He et al. 2014)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor

from ..plan import Dim, Shape
from .pooling import AVG_POOL, MAX_POOL, windows_of
from .primitive import CallSite, Operand, Primitive, Run, require, split_axis

POOLS = {"max": MAX_POOL, "avg": AVG_POOL}


def levels(attributes: Mapping[str, Any], x: Shape) -> Iterator[dict[str, Any]]:
    """The pooling attributes of each level: 2ˡ windows along each axis, padded symmetrically (Caffe, spp_layer.cpp)."""
    require(3 <= len(x) <= 5, f"it takes one to three image axes, not {list(x)}")
    require(1 <= attributes["height"] <= 32, f"a pyramid of height {attributes['height']} is invalid")
    for level in range(attributes["height"]):
        kernel = [-(-size >> level) for size in x[2:]]
        pad = [((k << level) - size + 1) // 2 for k, size in zip(kernel, x[2:], strict=True)]
        yield {"kernel": kernel, "stride": kernel, "pad": pad, "round": "up", "include_pad": True}


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    (x,) = operands
    return [(x[0], x[1] * sum(prod(windows_of(level, x).count) for level in levels(attributes, x)))]


def prepare(call: CallSite) -> Run:
    x = call.operands[0]
    pool = POOLS[call.attributes["mode"]]
    parts = list[tuple[Run, Shape]]()
    for level in levels(call.attributes, x.shape):
        shape = (*x.shape[:2], *windows_of(level, x.shape).count)
        parts.append((pool.prepare(CallSite(level, (x,), (Operand(x.dtype, shape),))), shape))

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        start = 0
        for part, shape in parts:
            width = prod(shape[1:])
            part([split_axis(results[0].narrow(1, start, width), 1, shape[1:])], operands)
            start += width

    return run


PYRAMID_POOL = Primitive(prepare, infer_shapes)
