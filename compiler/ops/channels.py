"""Operators that are y = a·x + b with coefficients per channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..op import Elementwise, op


class Affine(Elementwise):
    """An operator that computes a·x + b, broadcast from `axis` on; `coefficients` returns (a, b)."""

    axis: int = 1

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(self.name)


@op("batch_norm", operands=3)
class BatchNorm(Affine):
    """(x - mean) / √(variance + eps), with stored statistics of shape [c]; as in Caffe, without scale and bias."""

    eps: float = 1e-5
    axis: int = 1

    def scalar(self, m: Any, x: Any, mean: Any, variance: Any) -> Any:
        return (x - mean) * m.rsqrt(variance + self.eps)

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = constants
        deviation = (variance + self.eps).float().sqrt().to(variance.dtype)  # rounded as Caffe's own float32
        return 1 / deviation, -mean / deviation


@op("scale", operands=(2, 3))
class Scale(Affine):
    """x · gamma + beta; both have the shape of dimensions of x from `axis` on, and beta is optional."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, gamma: Any, beta: Any = None) -> Any:
        return x * gamma if beta is None else x * gamma + beta

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        gamma, *beta = constants
        return gamma, beta[0] if beta else gamma * 0


@op("bias", operands=2)
class Bias(Affine):
    """x + beta; beta has the shape of dimensions of x from `axis` on."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, beta: Any) -> Any:
        return x + beta

    def coefficients(self, *constants: Tensor) -> tuple[Tensor, Tensor]:
        (beta,) = constants
        return torch.ones_like(beta), beta
