"""Elementwise arithmetic on tensors of equal shape; powers, exponentials and logarithms."""

from __future__ import annotations

import math
from typing import Any

from ..op import Elementwise, op


@op("add", operands=2)
class Add(Elementwise):
    """alpha · x + beta · y."""

    alpha: float = 1.0
    beta: float = 1.0

    def scalar(self, m: Any, x: Any, y: Any) -> Any:
        return (x if self.alpha == 1 else x * self.alpha) + (y if self.beta == 1 else y * self.beta)


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
        if self.power * self.scale == 0:  # a constant in Caffe, even where x is infinite or NaN
            return m.where(x > 0, constant := 1.0 if self.power == 0 else self.shift**self.power, constant)
        base = x if self.scale == 1 else x * self.scale
        base = base + self.shift if self.shift else base
        return {1.0: base, 2.0: base * base}[self.power] if self.power in (1.0, 2.0) else m.pow(base, self.power)


class ExpLogBase(Elementwise):
    """Base class of exponentials and logarithms: a base above 0, by default e."""

    base: float = math.e
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.base < math.inf:
            raise ValueError(f"the base is above 0, not {self.base:g}")


@op("exp")
class Exp(ExpLogBase):
    """base^(shift + scale · x) (Caffe, exp_layer.cpp)."""

    base: float = math.e
    scale: float = 1.0
    shift: float = 0.0

    def scalar(self, m: Any, x: Any) -> Any:
        inner, outer = math.log(self.base) * self.scale, self.base**self.shift  # split as in exp_layer.cpp
        power = m.exp(x if inner == 1 else x * inner)
        return power if outer == 1 else power * outer


@op("log")
class Log(ExpLogBase):
    """The logarithm of shift + scale · x to `base` (Caffe, log_layer.cpp)."""

    base: float = math.e
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base == 1:
            raise ValueError("the base of a logarithm cannot be 1")

    def scalar(self, m: Any, x: Any) -> Any:
        inner = x if self.scale == 1 else x * self.scale
        found, by = m.log(inner + self.shift if self.shift else inner), 1 / math.log(self.base)
        return found if by == 1 else found * by
