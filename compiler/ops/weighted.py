"""What convolutions and matrix products share: a weight and a bias for each output channel, and no more than a sum."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..op import Op
from ..types import TensorType


class Weighted(Op):
    """Operands are data, weight, perhaps a bias [o]; the result is linear in the weight, channel by channel.

    Hence a·y + b for each output channel is this operator again, with the weight times `factors` and another bias.
    """

    def channel_axis(self, rank: int) -> int:
        """The axis of the result, which has `rank` dimensions, along which the output channels stand."""
        return 1

    def bias_flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        """One addition for each element of the result, if there is a bias."""
        return results[0].numel if len(operands) == 3 else 0

    def factors(self, shape: tuple[int, ...], a: Tensor) -> Tensor:
        """What a weight of this shape is multiplied by for output channel i to come out a[i] times as large.

        `a` is [o]; the result has as many dimensions as the weight, and broadcasts over it.
        """
        raise NotImplementedError(self.name)
