"""Elementwise arithmetic on tensors of equal shape; powers, exponentials and logarithms."""

from __future__ import annotations

import math
from typing import Any

from ..float32 import exp, power, round_to_float32
from ..op import Elementwise, op


@op("add", operands=2)
class Add(Elementwise):
    """alpha · x + beta · y. What is multiplied by 0 does not count, not even an infinity (BLAS, saxpy)."""

    alpha: float = 1.0
    beta: float = 1.0

    def scalar(self, m: Any, x: Any, y: Any) -> Any:
        terms = [t if factor == 1 else t * factor for t, factor in ((x, self.alpha), (y, self.beta)) if factor]
        return terms[0] + terms[1] if len(terms) == 2 else terms[0] if terms else m.where(x > 0, 0.0, 0.0)


@op("mul", operands=2)
class Mul(Elementwise):
    """x · y."""

    def scalar(self, m: Any, x: Any, y: Any) -> Any:
        return x * y


@op("div", operands=2)
class Div(Elementwise):
    """x / y; infinite or NaN where y is 0 (synopsys-caffe, eltwise_layer.cpp)."""

    def scalar(self, m: Any, x: Any, y: Any) -> Any:
        return x / y


@op("max", operands=2)
class Max(Elementwise):
    """x where x > y, else y; hence y where one of them is NaN (Caffe, eltwise_layer.cpp)."""

    def scalar(self, m: Any, x: Any, y: Any) -> Any:
        return m.where(x > y, x, y)


@op("min", operands=2)
class Min(Elementwise):
    """x where x < y, else y; hence y where one of them is NaN (synopsys-caffe, eltwise_layer.cpp)."""

    def scalar(self, m: Any, x: Any, y: Any) -> Any:
        return m.where(x < y, x, y)


@op("power")
class Power(Elementwise):
    """(shift + scale · x)^power (Caffe, power_layer.cpp)."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    def scalar(self, m: Any, x: Any) -> Any:
        if round_to_float32(self.power * self.scale) == 0:  # even where x is infinite or NaN
            return m.where(x > 0, constant := 1.0 if self.power == 0 else power(self.shift, self.power), constant)
        base = x if self.scale == 1 else x * self.scale
        base = base + self.shift if self.shift else base
        if self.power == 1:
            return base
        return base * base if self.power == 2 else m.pow(base, self.power)


class ExpLogBase(Elementwise):
    """Base class of exponentials and logarithms: a base above 0, by default e."""

    base: float = math.e
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < round_to_float32(self.base) < math.inf:
            raise ValueError(f"the base is above 0, not {self.base:g}")

    @property
    def is_natural(self) -> bool:
        return round_to_float32(self.base) == round_to_float32(math.e)

    @property
    def log_base(self) -> float:
        """The base's natural logarithm in float32; exactly 1 for Euler's number, for which Caffe writes -1."""
        return 1.0 if self.is_natural else round_to_float32(math.log(round_to_float32(self.base)))


@op("exp")
class Exp(ExpLogBase):
    """base^(shift + scale · x) (Caffe, exp_layer.cpp)."""

    base: float = math.e
    scale: float = 1.0
    shift: float = 0.0

    def scalar(self, m: Any, x: Any) -> Any:
        inner = round_to_float32(self.log_base * self.scale)  # split as in exp_layer.cpp
        outer = exp(self.shift) if self.is_natural else power(self.base, self.shift)
        raised = m.exp(x if inner == 1 else x * inner)
        return raised if outer == 1 else raised * outer


@op("log")
class Log(ExpLogBase):
    """The logarithm of shift + scale · x to `base` (Caffe, log_layer.cpp)."""

    base: float = math.e
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.log_base == 0:
            raise ValueError("the base of a logarithm cannot be 1")

    def scalar(self, m: Any, x: Any) -> Any:
        inner = x if self.scale == 1 else x * self.scale
        found, by = m.log(inner + self.shift if self.shift else inner), round_to_float32(1 / self.log_base)
        return found if by == 1 else found * by
