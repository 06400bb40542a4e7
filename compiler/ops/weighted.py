"""What convolutions and matrix products share: a weight and a bias for each output channel, and no more than a sum."""

from __future__ import annotations

from torch import Tensor

from ..op import Op


class Weighted(Op):
    """Operands are data, weight, perhaps a bias [o]; the result is linear in the weight, channel by channel.

    Hence a·y + b for each output channel is this operator again, with the weight `scaled` and another bias.
    """

    def channel_axis(self, rank: int) -> int:
        """The axis of the result, which has `rank` dimensions, along which the output channels stand."""
        return 1

    def scaled(self, weight: Tensor, a: Tensor) -> Tensor:
        """The weight with which output channel i comes out a[i] times as large; a is [o]."""
        raise NotImplementedError(self.name)
