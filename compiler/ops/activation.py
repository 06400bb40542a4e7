"""Activations: elementwise functions of one tensor."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

from ..op import Elementwise, op


@op("relu")
class Relu(Elementwise):
    """x where x > 0, else slope · x."""

    slope: float = 0.0

    def scalar(self, m: Any, x: Any) -> Any:
        if not isfinite(self.slope):
            return m.maximum(x, 0.0) + m.minimum(x, 0.0) * self.slope  # relu_layer.cpp: NaN for a positive x
        return m.where(x > 0, x, x * self.slope) if self.slope else m.maximum(x, 0.0)


@op("clipped_relu")
class ClippedRelu(Elementwise):
    """x where x > 0, else slope · x; then at most `high`, then at least `low`.

    NaN stays NaN (MobileNet-YOLO, relu6_layer.cpp) or, without `keeps_nan`, is 0 (synopsys-caffe, relu_layer.cpp).
    """

    slope: float = 0.0
    low: float = -inf
    high: float = inf
    keeps_nan: bool = True

    def scalar(self, m: Any, x: Any) -> Any:
        if self.slope:
            made = m.where(x > 0, x, x * self.slope if self.keeps_nan else m.where(x < 0, x * self.slope, 0.0))
        else:
            made = m.maximum(x, 0.0) if self.keeps_nan else m.where(x > 0, x, 0.0)
        made = m.minimum(made, self.high) if self.high < inf else made
        return m.maximum(made, self.low) if self.low > -inf else made


@op("prelu", operands=2)
class PRelu(Elementwise):
    """x where x > 0, else slope · x, with a learnt slope of shape [c], or [] for all channels (He et al. 2015)."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, slope: Any) -> Any:
        return m.where(x > 0, x, x * slope)


@op("at_least", operands=2)
class AtLeast(Elementwise):
    """max(x, bound), with one bound per channel, [c]; -inf leaves a channel as it is. NaN stays NaN."""

    axis: int = 1

    def scalar(self, m: Any, x: Any, bound: Any) -> Any:
        return m.maximum(x, bound)


@op("elu")
class Elu(Elementwise):
    """x where x > 0, else alpha · (eˣ - 1) (Clevert et al. 2015)."""

    alpha: float = 1.0

    def scalar(self, m: Any, x: Any) -> Any:
        if not isfinite(self.alpha):
            return m.maximum(x, 0.0) + m.expm1(m.minimum(x, 0.0)) * self.alpha  # elu_layer.cpp
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
    """log(1 + eˣ), a smooth ReLU (binomial normal log likelihood); written so that eˣ cannot overflow."""

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
    """x · min(max(x + 3, 0), 6) / 6, a piecewise approximation of Swish (Howard et al. 2019)."""

    def scalar(self, m: Any, x: Any) -> Any:
        return x * (m.minimum(m.maximum(x + 3.0, 0.0), 6.0) / 6.0)


@op("clip")
class Clip(Elementwise):
    """max(min(x, high), low); `low` where x is NaN (Caffe, clip_layer.cpp)."""

    low: float
    high: float

    def scalar(self, m: Any, x: Any) -> Any:
        below = m.where(x > self.high, self.high, x)
        return m.where(below > self.low, below, self.low)


@op("threshold")
class Threshold(Elementwise):
    """1 where x > threshold, else 0."""

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
    """The identity at inference. `remove_dropout` removes it."""

    ratio: float = 0.5

    def scalar(self, m: Any, x: Any) -> Any:
        return x * 1.0
