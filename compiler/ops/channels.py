"""Operators that treat each channel by numbers of its own: y = a·x + b."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..op import Elementwise, op


class Affine(Elementwise):
    """An operator that scales and shifts each channel; `coefficients` says by how much, as (a, b)."""

    axis: int = 1

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(self.name)


@op("batch_norm", operands=3)
class BatchNorm(Affine):
    """Normalise each channel by a mean and a variance learnt before; Caffe's does no more, see scale."""

    eps: float = 1e-5
    axis: int = 1

    def scalar(self, m: Any, x: Any, mean: Any, variance: Any) -> Any:
        return (x - mean) * m.rsqrt(variance + self.eps)

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = constants
        a = (variance + self.eps).rsqrt()
        return a, -mean * a


@op("scale", operands=(2, 3))
class Scale(Affine):
    """Multiply by gamma, add beta: one number each for every place along the dimensions from `axis` on."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, gamma: Any, beta: Any = None) -> Any:
        return x * gamma if beta is None else x * gamma + beta

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        gamma, *beta = constants
        return gamma, beta[0] if beta else gamma * 0


@op("bias", operands=2)
class Bias(Affine):
    """Add beta: one number for each place along the dimensions from `axis` on."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, beta: Any) -> Any:
        return x + beta

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        (beta,) = constants
        return torch.ones_like(beta), beta
