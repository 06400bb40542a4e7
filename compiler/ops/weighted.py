"""The base class of convolutions and matrix products: linear operators with a weight and a bias."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..op import Op
from ..types import TensorType


class Weighted(Op):
    """An operator on data, a weight and optionally a bias [o], each output channel linear in its part of the weight.

    Hence a·y + b per output channel is the same operator with the weight multiplied by `factors` and another bias.
    """

    def channel_axis(self, rank: int) -> int:
        """The axis of the output channels in a result of this rank."""
        return 1

    def bias_flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        """One addition for each element of the result if there is a bias, else 0."""
        return results[0].numel if len(operands) == 3 else 0

    def factors(self, shape: tuple[int, ...], a: Tensor) -> Tensor:
        """The factors for a weight of this shape that multiply output channel i by a[i].

        `a` is [o]; the result has the rank of the weight and broadcasts over it.
        """
        raise NotImplementedError(self.name)
