"""Helpers for layers of the form a·x + b per channel, and for their constants, shared by several passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ..compiler.float32 import with_float32_attributes
from ..compiler.ir import Constant, Node, Value
from ..compiler.ops.channels import Affine

CHUNK = 1 << 15  # elements: few enough for the cache, and for torch to stay in one thread


def are_constants(values: Sequence[Value]) -> bool:
    """True if all values are constants that are bound to data."""
    return all(isinstance(v, Constant) and v.is_bound for v in values)


def constant_data(values: Sequence[Value]) -> list[Tensor]:
    """The data of the constants among these values, in float64."""
    return [v.data.double() for v in values if isinstance(v, Constant)]


def coefficients(layer: Node) -> tuple[Tensor, Tensor]:
    """The coefficients a and b of an affine layer with constant operands, in float64."""
    assert isinstance(layer.op, Affine)
    return with_float32_attributes(layer.op).coefficients(*constant_data(layer.inputs[1:]))


def has_infinite(*numbers: Tensor) -> bool:
    """True if a coefficient or a folded weight is infinite: inf - inf would be NaN where the layers give an infinity.

    NaN may be folded: a channel that is multiplied by NaN is NaN everywhere, either way.
    """
    return any(not bool(x.sum().isfinite()) and bool(x.isinf().any()) for x in numbers)


def row_chunks(weight: Tensor) -> Iterator[slice]:
    """Slices of a weight's first axis with at most CHUNK elements each, and at least one row.

    Converting a large weight to float64 as a whole costs more in page faults than in arithmetic. With larger chunks,
    torch's threads wait for each other at every chunk: 50 times slower on a busy machine.
    """
    rows = max(1, CHUNK * len(weight) // max(weight.numel(), 1))
    return (slice(i, i + rows) for i in range(0, len(weight), rows))
