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


@op("prelu", operands=2)
class PRelu(Elementwise):
    """The positive part, and the negative part times a learnt slope: [c], or one number [] for all channels."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, slope: Any) -> Any:
        return m.where(x > 0, x, x * slope)


@op("at_least", operands=2)
class AtLeast(Elementwise):
    """x, but no less than a bound: [c], one for each channel, which is -inf where x passes as it is. NaN stays NaN."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, bound: Any) -> Any:
        return m.maximum(x, bound)


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


@op("bnll")
class Bnll(Elementwise):
    """log(1 + eˣ), a ReLU without the corner (binomial normal log likelihood); written so that eˣ cannot overflow."""

    def scalar(self, m: Any, x: Any) -> Any:
        return m.where(x > 0, x, 0.0) + m.log1p(m.exp(-m.abs(x)))


@op("swish")
class Swish(Elementwise):
    """x · sigmoid(beta · x) (Ramachandran et al. 2017)."""

    beta: float = 1.0

    def scalar(self, m: Any, x: Any) -> Any:
        return x * m.sigmoid(x if self.beta == 1 else x * self.beta)


@op("mish")
class Mish(Elementwise):
    """x · tanh(log(1 + eˣ)) (Misra 2019); the logarithm is written so that eˣ cannot overflow."""

    def scalar(self, m: Any, x: Any) -> Any:
        return x * m.tanh(m.where(x > 0, x, 0.0) + m.log1p(m.exp(-m.abs(x))))


@op("hard_swish")
class HardSwish(Elementwise):
    """x · min(max(x + 3, 0), 6) / 6, a Swish of straight lines (Howard et al. 2019)."""

    def scalar(self, m: Any, x: Any) -> Any:
        return x * (m.minimum(m.maximum(x + 3.0, 0.0), 6.0) / 6.0)


@op("clip")
class Clip(Elementwise):
    """x, but no less than `low` and no more than `high`; `low` where x is no number (Caffe, clip_layer.cpp)."""

    low: float
    high: float

    def scalar(self, m: Any, x: Any) -> Any:
        below = m.where(x > self.high, self.high, x)
        return m.where(below > self.low, below, self.low)


@op("threshold")
class Threshold(Elementwise):
    """1 where x is above `threshold`, else 0."""

    threshold: float = 0.0

    def scalar(self, m: Any, x: Any) -> Any:
        return m.where(x > self.threshold, 1.0, 0.0)


@op("abs")
class Abs(Elementwise):
    """The absolute value."""

    def scalar(self, m: Any, x: Any) -> Any:
        return m.abs(x)


@op("dropout")
class Dropout(Elementwise):
    """Nothing: what training drops, inference keeps. `remove_dropout` takes it out."""

    ratio: float = 0.5

    def scalar(self, m: Any, x: Any) -> Any:
        return x * 1.0
