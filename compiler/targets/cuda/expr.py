"""Elementwise operators as Triton expressions: an operator's `scalar` method run on text instead of tensors.

>>> from cortado.compiler.ops.activation import Relu
>>> str(Relu(slope=0.5).scalar(ExprBuilder(), Expr("x")))
'tl.where(x > 0.0, x, x * 0.5)'
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...float32 import shortest_decimal
from ...scalar import FUNCTIONS

TL_FUNCTIONS = ("where", "abs", "floor", "ceil", "erf")  # exact in triton.language, so used directly
COMPARE, SUM, PRODUCT, SIGN, ATOM = range(5)


@dataclass(frozen=True, eq=False, slots=True)
class Expr:
    """The text of a Triton expression and the precedence of its outermost operator; Python operators combine them."""

    text: str
    precedence: int = ATOM

    def __str__(self) -> str:
        return self.text

    def operand_text(self, least: int) -> str:
        """The text as an operand, in parentheses if its precedence is lower than `least`."""
        return self.text if self.precedence >= least else f"({self.text})"

    def __add__(self, other: Any) -> Expr:
        return infix(self, "+", other, SUM, SUM)

    def __radd__(self, other: Any) -> Expr:
        return infix(other, "+", self, SUM, SUM)

    def __sub__(self, other: Any) -> Expr:
        return infix(self, "-", other, SUM, PRODUCT)

    def __rsub__(self, other: Any) -> Expr:
        return infix(other, "-", self, SUM, PRODUCT)

    def __mul__(self, other: Any) -> Expr:
        return infix(self, "*", other, PRODUCT, SIGN)

    def __rmul__(self, other: Any) -> Expr:
        return infix(other, "*", self, PRODUCT, SIGN)

    def __truediv__(self, other: Any) -> Expr:
        return Expr(f"tl.div_rn({self}, {to_expr(other)})")

    def __rtruediv__(self, other: Any) -> Expr:
        return Expr(f"tl.div_rn({to_expr(other)}, {self})")

    def __neg__(self) -> Expr:
        return Expr(f"-{self.operand_text(SIGN)}", SIGN)

    def __gt__(self, other: Any) -> Expr:
        return infix(self, ">", other, COMPARE, SUM)

    def __ge__(self, other: Any) -> Expr:
        return infix(self, ">=", other, COMPARE, SUM)

    def __lt__(self, other: Any) -> Expr:
        return infix(self, "<", other, COMPARE, SUM)

    def __le__(self, other: Any) -> Expr:
        return infix(self, "<=", other, COMPARE, SUM)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return infix(self, "==", other, COMPARE, SUM)

    __hash__ = None  # type: ignore[assignment]


class ExprBuilder:
    """The argument `m` of `scalar`. `used_functions` collects the functions needed from templates/functions.py."""

    def __init__(self) -> None:
        self.used_functions: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Expr]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no scalar function is called {name}")
        if name not in TL_FUNCTIONS:
            self.used_functions.add(name)
        function = f"tl.{name}" if name in TL_FUNCTIONS else name
        return lambda *arguments: Expr(f"{function}({', '.join(str(to_expr(a)) for a in arguments)})")


def infix(left: Any, sign: str, right: Any, binds: int, right_binds: int) -> Expr:
    """`left sign right`, of precedence `binds`, with parentheses around operands of a lower one than they need."""
    left_binds = SUM if binds == COMPARE else binds
    return Expr(f"{to_expr(left).operand_text(left_binds)} {sign} {to_expr(right).operand_text(right_binds)}", binds)


def to_expr(value: Any) -> Expr:
    """An Expr unchanged; a number as a float literal that reads back as the same float32."""
    if isinstance(value, Expr):
        return value
    number = shortest_decimal(value)
    if not math.isfinite(number):
        return Expr(f'float("{number}")') if not number < 0 else Expr('-float("inf")', SIGN)
    return Expr(repr(number), ATOM if number >= 0 else SIGN)
