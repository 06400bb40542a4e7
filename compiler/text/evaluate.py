"""Looks names up, and evaluates the types and numbers that a text writes."""

from __future__ import annotations

from typing import Any, cast

from ..errors import CompileError
from ..ir import Value
from ..limits import show_type, size_fault
from ..suggestion import did_you_mean
from ..types import TensorType
from .frame import Frame
from .syntax import location_of
from .tree import BinaryExpression, CallSyntax, DimensionOf, Name, SymbolicType, TypedName


class Evaluator:
    """A text, and the frame in which its names are looked up."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.frame = Frame()

    def lookup(self, name: Name) -> Value:
        found = self.binding_of(name)
        if not isinstance(found, Value):
            raise self.make_error(name, f"{name.text} is {found!r}, where a value is expected")
        return found

    def binding_of(self, name: Name) -> Any:
        known = self.frame.bindings
        if name.text not in known:
            raise self.make_error(name, f"{name.text} is not defined before this line{did_you_mean(name.text, known)}")
        return known[name.text]

    def evaluate_type(self, typed: TypedName) -> TensorType:
        if isinstance(typed.type, SymbolicType):
            sizes = [self.evaluate(size) for size in typed.type.sizes]
            if bad := [size for size in sizes if not isinstance(size, int) or isinstance(size, bool) or size < 0]:
                raise self.make_error(typed.name, f"{typed.name.text} has the size {bad[0]!r}, which is not valid")
            type = TensorType(str(typed.type.dtype), tuple(sizes))
        else:
            assert typed.type is not None
            type = typed.type
        if fault := size_fault(type):
            raise self.make_error(typed.name, f"{typed.name.text}, {show_type(type)}, {fault}")
        return type

    def evaluate(self, written: Any) -> Any:
        """Evaluate a number, word, list or arithmetic expression."""
        match written:
            case Name():
                found = self.binding_of(written)
                if isinstance(found, Value):
                    raise self.make_error(written, f"{written.text} is a value, where a number or a word is expected")
                return found
            case DimensionOf(of=of, axis=axis):
                type, wanted = self.lookup(of).type, self.evaluate(axis)
                if not isinstance(wanted, int) or not -type.rank <= wanted < type.rank:
                    raise self.make_error(of, f"{of.text} is {type}, which has no dimension {wanted!r}")
                return type.dims[wanted]
            case BinaryExpression():
                return self.evaluate_sum(written)
            case tuple() if not isinstance(written, CallSyntax):
                return tuple(map(self.evaluate, written))
            case CallSyntax():
                advice = f"Only a function of this text can take {written.target.text}(...) by name."
                raise self.make_error(written.target, "a call is a value, where a number is expected", advice)
        return written

    def evaluate_sum(self, written: BinaryExpression) -> Any:
        """The number of a + b - c ..., which is nested to the left, as deeply as it is long."""
        rest, left = list[BinaryExpression](), cast(Any, written)
        while isinstance(left, BinaryExpression):
            rest.append(left)
            left = left.left
        result = self.evaluate(left)
        for part in reversed(rest):
            try:
                result = evaluate_arithmetic(str(part.sign), result, self.evaluate(part.right))
            except ValueError as e:
                raise self.make_error(Name(str(part.sign), part.sign), str(e)) from None
        return result

    def make_error(self, name: Name, message: str, advice: str = "") -> CompileError:
        where = "".join(f"; {visit}" for visit in reversed(self.frame.active_calls))
        return CompileError(message + where, location_of(name.token, self.file), self.text, advice)


def evaluate_arithmetic(sign: str, left: Any, right: Any) -> Any:
    """The result of an arithmetic operation. ValueError for operands that are not numbers, or an inexact division."""
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in (left, right)):
        raise ValueError(f"{left!r} {sign} {right!r}: both have to be numbers")
    if sign == "/":
        if not right:
            raise ValueError(f"{left} / 0: division by zero")
        if isinstance(left, int) and isinstance(right, int):
            if left % right:
                raise ValueError(f"{right} does not divide {left}")
            return left // right
        return left / right
    made = {"+": left + right, "-": left - right, "*": left * right}[sign]
    if isinstance(made, int) and abs(made) >= 1 << 63:
        raise ValueError(f"{left} {sign} {right} is no number of 64 bits")
    return made
