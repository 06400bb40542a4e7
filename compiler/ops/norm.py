"""Normalization by the squares of neighbouring channels or pixels, or of all channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from ..op import Op, Trait, op
from ..types import TensorType
from .image import require_int, split_bounded_image


@op("lrn")
class Lrn(Op):
    """Local response normalization (Krizhevsky et al. 2012; Caffe, lrn_layer.cpp).

    `region="across"`: x / (k + alpha / size · Σ x²)^beta, summed over `size` channels centred at each.
    `region="within"`: x / (1 + alpha / size² · Σ x²)^beta, summed over size × size pixels; k is not used.
    """

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    region: str = "across"
    traits = frozenset({Trait.ANY_SIZE})

    def infer(self, x: TensorType) -> TensorType:
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"size is odd, not {self.size}")
        if self.region not in ("across", "within"):
            raise ValueError(f'region is "across" or "within", not "{self.region}"')
        if self.region == "within" or x.rank > 2:
            split_bounded_image(x)
        wider = x.bounds[1:2] if self.region == "across" else x.bounds[2:]
        rest = x.numel // max(prod(wider), 1)
        require_int(rest * prod(n + self.size - 1 for n in wider), "the numbers with the window's padding")
        return x

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        window = self.size if self.region == "across" else self.size**2
        return (2 * window + 4) * results[0].numel

    def reference(self, x: Tensor) -> Tensor:
        half = self.size // 2
        if self.region == "within":
            squares = F.pad(x * x, [half] * (2 * (x.ndim - 2)))
            for axis in range(2, x.ndim):
                squares = squares.unfold(axis, self.size, 1).sum(-1)
            return x * torch.pow(1 + scale_squares(squares, self.alpha / self.size ** (x.ndim - 2)), -self.beta)
        squares = F.pad((x * x).movedim(1, -1), [half, half]).unfold(-1, self.size, 1).sum(-1)
        scale: Tensor = self.k + scale_squares(squares.movedim(-1, 1), self.alpha / self.size)
        return x * torch.pow(scale, -self.beta)


def scale_squares(squares: Tensor, factor: float) -> Tensor:
    """Squares times a factor; with 0 they do not count, not even infinite ones (BLAS, saxpy)."""
    return squares * factor if factor else torch.zeros_like(squares)


@op("l2_normalize")
class L2Normalize(Op):
    """x / √(Σ x² + eps), summed over all elements of an image or, without `across`, over its channels at each pixel.

    Source: SSD's Caffe (Liu et al. 2016; normalize_layer.cpp).
    """

    across: bool = True
    eps: float = 1e-10

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise ValueError(f"{x} has no channels")
        return x

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 5 * results[0].numel

    def reference(self, x: Tensor) -> Tensor:
        squares = (x * x).sum(tuple(range(1, x.ndim)) if self.across else 1, keepdim=True)
        return x / (squares + self.eps).sqrt()
