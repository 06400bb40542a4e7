"""Linear layers: matrix products with packed weights, bias and activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..plan import Dim, Shape
from .activation import PACKABLE_DTYPES, activate_, post_op, store_activated
from .primitive import CallSite, Operand, Primitive, Run, axis_of, require


def infer_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    require(len(operands) == 2 + attributes["bias"], "it takes x and w, and b if `bias`")
    x, w = operands[0], operands[1]
    axis = axis_of(attributes, x)
    require(len(w) == 2 and min(w) > 0, f"a weight {list(w)} is not a matrix")
    count, k = w[::-1] if attributes["transpose"] else w
    require(prod(x[axis:]) == k, f"a weight {list(w)} does not fit rows of {prod(x[axis:])} numbers")
    require(not attributes["bias"] or operands[2] == (count,), f"a bias does not fit {count} results")
    return [(*x[:axis], count)]


def prepare(call: CallSite) -> Run:
    attributes, (x, w, *rest) = call.attributes, call.operands
    k = w.shape[0] if attributes["transpose"] else w.shape[1]
    bias = rest[0].data if rest else None
    constant = w.data is not None and (bias is not None or not rest)
    if not constant or x.dtype not in PACKABLE_DTYPES or len({o.dtype for o in call.operands}) != 1:
        return prepare_unpacked(call, k)
    weight = pack_weight(call, w, attributes["transpose"])
    post = post_op(attributes)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        rows = operands[0].reshape(-1, k)
        made = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, *post)
        store_activated(results[0], made.view(results[0].shape), attributes)

    return run


def pack_weight(call: CallSite, w: Operand, transpose: bool = False) -> Tensor | None:
    """The weight [n, k], or [k, n] with `transpose`, packed by oneDNN; None if it is not constant or not packable."""
    logical = w.data
    if logical is None or w.dtype not in PACKABLE_DTYPES:
        return None

    def pack() -> Tensor:
        matrix = logical.t() if transpose else logical
        # Without a batch size, oneDNN picks a format that suits both one row and many.
        made: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous())
        return made

    return call.packed_weights.get(("linear", w.handle, w.shape, transpose), pack)


def prepare_unpacked(call: CallSite, k: int) -> Run:
    """Dtypes that oneDNN lacks, or weights that are not constant: torch's linear."""

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        matrix = operands[1].t() if call.attributes["transpose"] else operands[1]
        made = F.linear(operands[0].reshape(-1, k), matrix, operands[2] if call.attributes["bias"] else None)
        results[0].copy_(activate_(made, call.attributes).view(results[0].shape))

    return run


LINEAR_PACKED = Primitive(prepare, infer_shapes)
