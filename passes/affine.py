"""What several passes ask of layers that are a·x + b for each channel, and of the weights beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ..compiler.ir import Constant, Node, Value
from ..compiler.ops.channels import Affine

CHUNK = 1 << 15  # elements: they stay in the cache, and are so few that torch does not share them among threads


def are_constants(values: Sequence[Value]) -> bool:
    """True if all are constants with numbers."""
    return all(isinstance(v, Constant) and v.is_bound for v in values)


def constant_data(values: Sequence[Value]) -> list[Tensor]:
    """The numbers of constants, in float64."""
    return [v.data.double() for v in values if isinstance(v, Constant)]


def coefficients(layer: Node) -> tuple[Tensor, Tensor]:
    """a and b of an affine layer whose numbers are known, in float64."""
    assert isinstance(layer.op, Affine)
    return layer.op.coefficients(*constant_data(layer.inputs[1:]))


def row_chunks(weight: Tensor) -> Iterator[slice]:
    """Cuts a weight along its first axis into pieces of at most PIECE elements, but never less than a row.

    A large weight in float64, whole, would cost more in fresh memory than in arithmetic. And threads that wait for each
    other at every piece made folding 50 times slower where other programs kept the processor busy.
    """
    rows = max(1, CHUNK * len(weight) // max(weight.numel(), 1))
    return (slice(i, i + rows) for i in range(0, len(weight), rows))
