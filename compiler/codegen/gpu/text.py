"""Elementwise meaning as Triton text: the same `scalar` that computes on tensors is run on expressions.

>>> from cortado.compiler.ops.activation import Relu
>>> str(Relu(slope=0.5).scalar(Calls(), Text("x")))
'tl.where(x > 0.0, x, x * 0.5)'
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...scalar import FUNCTIONS

TL = ("where", "abs", "floor", "ceil", "erf")  # what Triton's own language says, exactly
COMPARE, SUM, PRODUCT, SIGN, ATOM = range(5)


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    """An expression and how tightly it binds; operators on it make longer expressions."""

    text: str
    binds: int = ATOM

    def __str__(self) -> str:
        return self.text

    def at(self, least: int) -> str:
        """The text as an operand of something that binds so tightly."""
        return self.text if self.binds >= least else f"({self.text})"

    def __add__(self, other: Any) -> Text:
        return infix(self, "+", other, SUM, SUM)

    def __radd__(self, other: Any) -> Text:
        return infix(other, "+", self, SUM, SUM)

    def __sub__(self, other: Any) -> Text:
        return infix(self, "-", other, SUM, PRODUCT)

    def __rsub__(self, other: Any) -> Text:
        return infix(other, "-", self, SUM, PRODUCT)

    def __mul__(self, other: Any) -> Text:
        return infix(self, "*", other, PRODUCT, SIGN)

    def __rmul__(self, other: Any) -> Text:
        return infix(other, "*", self, PRODUCT, SIGN)

    def __truediv__(self, other: Any) -> Text:
        return Text(f"tl.div_rn({self}, {expression(other)})")

    def __rtruediv__(self, other: Any) -> Text:
        return Text(f"tl.div_rn({expression(other)}, {self})")

    def __neg__(self) -> Text:
        return Text(f"-{self.at(SIGN)}", SIGN)

    def __gt__(self, other: Any) -> Text:
        return infix(self, ">", other, COMPARE, SUM)

    def __ge__(self, other: Any) -> Text:
        return infix(self, ">=", other, COMPARE, SUM)

    def __lt__(self, other: Any) -> Text:
        return infix(self, "<", other, COMPARE, SUM)

    def __le__(self, other: Any) -> Text:
        return infix(self, "<=", other, COMPARE, SUM)

    def __eq__(self, other: object) -> Text:  # type: ignore[override]
        return infix(self, "==", other, COMPARE, SUM)

    __hash__ = None  # type: ignore[assignment]


class Calls:
    """Stands for `m`. `used` collects the functions that templates/functions.py has to bring."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Text]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no scalar function is called {name}")
        if name not in TL:
            self.used.add(name)
        function = f"tl.{name}" if name in TL else name
        return lambda *arguments: Text(f"{function}({', '.join(str(expression(a)) for a in arguments)})")


def infix(left: Any, sign: str, right: Any, binds: int, right_binds: int) -> Text:
    """`left sign right`; a comparison's sides and a difference's right side bind more tightly than it does."""
    left_binds = SUM if binds == COMPARE else binds
    return Text(f"{expression(left).at(left_binds)} {sign} {expression(right).at(right_binds)}", binds)


def expression(value: Any) -> Text:
    """A text as it is; a number as a float that reads back as itself."""
    if isinstance(value, Text):
        return value
    number = float(value)
    if not math.isfinite(number):
        return Text(f'float("{number}")') if not number < 0 else Text('-float("inf")', SIGN)
    return Text(repr(number), ATOM if number >= 0 else SIGN)
