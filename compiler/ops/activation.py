"""Activations: one number in, one number out."""

from __future__ import annotations

from typing import Any

from ..op import Elementwise, op


@op("relu")
class Relu(Elementwise):
    """The positive part; `slope` lets that much of the negative part through."""

    slope: float = 0.0

    def scalar(self, m: Any, x: Any) -> Any:
        return m.where(x > 0, x, x * self.slope) if self.slope else m.maximum(x, 0.0)


@op("prelu")
class PRelu(Elementwise):
    """The positive part, and the negative part times a learnt slope: [c], or one number [] for all channels."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, slope: Any) -> Any:
        return m.where(x > 0, x, x * slope)


@op("elu")
class Elu(Elementwise):
    """x above zero, alpha · (eˣ - 1) below (Clevert et al. 2015)."""

    alpha: float = 1.0

    def scalar(self, m: Any, x: Any) -> Any:
        return m.where(x > 0, x, m.expm1(m.minimum(x, 0.0)) * self.alpha)


@op("sigmoid")
class Sigmoid(Elementwise):
    """1 / (1 + e⁻ˣ)."""

    def scalar(self, m: Any, x: Any) -> Any:
        return m.sigmoid(x)


@op("tanh")
class TanH(Elementwise):
    """The hyperbolic tangent."""

    def scalar(self, m: Any, x: Any) -> Any:
        return m.tanh(x)


@op("abs")
class Abs(Elementwise):
    """The absolute value."""

    def scalar(self, m: Any, x: Any) -> Any:
        return m.abs(x)


@op("dropout")
class Dropout(Elementwise):
    """Nothing: what training drops, inference keeps. `drop_training` takes it out."""

    ratio: float = 0.5

    def scalar(self, m: Any, x: Any) -> Any:
        return x * 1.0
