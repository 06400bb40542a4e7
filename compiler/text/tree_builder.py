"""Builds the syntax tree from the rules of the grammar."""

from __future__ import annotations

import json
from typing import Any

from lark import Token, Transformer

from ..types import DTYPES, AtMost, TensorType
from .tree import (
    Assignment,
    BinaryExpression,
    CallSyntax,
    DimensionOf,
    Function,
    FunctionParameter,
    GraphBlock,
    Name,
    PlaceAt,
    PlaceHalo,
    PlaceIn,
    PlaceOver,
    Repeat,
    ReturnedName,
    Rounds,
    SourceFile,
    SymbolicType,
    TypedName,
    WeightDeclaration,
)

STATEMENT_TYPES = (WeightDeclaration, Assignment, Repeat)


class TokenError(Exception):
    """An invalid token that the grammar accepts."""

    def __init__(self, message: str, token: Token, advice: str = "") -> None:
        super().__init__(message)
        self.message, self.token, self.advice = message, token, advice


class TreeBuilder(Transformer[Token, Any]):
    """One method for each rule of the grammar, called when the rule is recognized, so that lark builds no tree."""

    def start(self, parts: list[Any]) -> SourceFile:
        weights = parts.pop(0) if isinstance(parts[0], str) else None
        functions = tuple(p for p in parts if isinstance(p, Function))
        return SourceFile(weights, tuple(p for p in parts if isinstance(p, GraphBlock)), functions)

    def weights(self, parts: list[Token]) -> str:
        return unquote(parts[0])

    def graph(self, parts: list[Any]) -> GraphBlock:
        kind, name, *rest = parts
        inputs = tuple(p for p in rest if isinstance(p, TypedName))
        body = tuple(p for p in rest if isinstance(p, STATEMENT_TYPES))
        arena = next((p for p in rest if isinstance(p, int)), None)
        return GraphBlock(str(kind), name, inputs, arena, body, tuple(p for p in rest if isinstance(p, ReturnedName)))

    def arena(self, parts: list[Token]) -> int:
        return parse_int(parts[0])

    def function(self, parts: list[Any]) -> Function:
        name, *rest = parts
        parameters = tuple(p for p in rest if isinstance(p, FunctionParameter))
        body = tuple(p for p in rest if isinstance(p, STATEMENT_TYPES))
        return Function(name, parameters, body, tuple(p for p in rest if isinstance(p, Name | CallSyntax)))

    def parameter(self, parts: list[Any]) -> FunctionParameter:
        return FunctionParameter(parts[0], len(parts) > 1, as_literal(parts[1]) if len(parts) > 1 else None)

    def weight(self, parts: list[Any]) -> WeightDeclaration:
        given = parts[1] if len(parts) > 1 else None
        return WeightDeclaration(parts[0], given if isinstance(given, Token) else as_literal(given))

    def line(self, parts: list[Any]) -> Assignment:
        targets = tuple(p for p in parts if isinstance(p, TypedName))
        call = parts[len(targets)]
        return Assignment(targets, call, tuple(parts[len(targets) + 1 :]))

    def repeat(self, parts: list[Any]) -> Repeat:
        return Repeat(parts[0], parts[1], tuple(parts[2:]))

    def times(self, parts: list[Any]) -> Rounds:
        return Rounds((), parts[0])

    def span(self, parts: list[Any]) -> Rounds:
        return Rounds((parts[0],), *parts[1:])

    def each(self, parts: list[Any]) -> Rounds:
        return Rounds(tuple(parts[:-1]), as_literal(parts[-1]))

    def target(self, parts: list[Any]) -> TypedName:
        return self.typed(parts) if len(parts) > 1 else TypedName(parts[0], None, None)

    def typed(self, parts: list[Any]) -> TypedName:
        return TypedName(parts[0], *parts[1])

    def type(self, parts: list[Token]) -> tuple[TensorType, str | None]:
        return parse_type(parts[0])

    def shaped(self, parts: list[Any]) -> tuple[SymbolicType, None]:
        dtype, *sizes = parts
        if dtype not in DTYPES:
            raise unknown_dtype_error(dtype)
        return SymbolicType(dtype, tuple(sizes)), None

    def output(self, parts: list[Name]) -> ReturnedName:
        return ReturnedName(parts[0], parts[-1])

    def at(self, parts: list[Token]) -> PlaceAt:
        return PlaceAt(parse_int(parts[0]))

    def halo(self, parts: list[Token]) -> PlaceHalo:
        return PlaceHalo(*map(int, parts))

    def over(self, parts: list[Name]) -> PlaceOver:
        return PlaceOver(parts[0])

    def within(self, parts: list[Any]) -> PlaceIn:
        return PlaceIn(parts[0], parse_int(parts[1]), parse_int(parts[2]))

    def nowhere(self, parts: list[Any]) -> None:
        return None

    def call(self, parts: list[Any]) -> CallSyntax:
        attributes: dict[str, Any] = {}
        for name, value in (p.pair for p in parts if isinstance(p, NamedAttribute)):
            if name.text in attributes:
                raise TokenError(f"{name.text} is given twice", name.token)
            attributes[name.text] = value
        return CallSyntax(parts[0], tuple(p for p in parts[1:] if not isinstance(p, NamedAttribute)), attributes)

    def attribute(self, parts: list[Any]) -> NamedAttribute:
        return NamedAttribute(parts[0], as_literal(parts[1]))

    def sum(self, parts: list[Any]) -> BinaryExpression:
        return BinaryExpression(parts[1], parts[0], parts[2])

    def size(self, parts: list[Any]) -> DimensionOf:
        return DimensionOf(*parts)

    def name(self, parts: list[Token]) -> Name:
        token = parts[0]
        return Name(unquote(token) if token.type == "STRING" else str(token), token)

    def number(self, parts: list[Token]) -> float:
        text = parts[0]
        whole = text.lstrip("+-").isdigit() and float(text).hex() != "-0x0.0p+0"  # minus zero is no whole number
        return parse_int(parts[0]) if whole else float(text)

    def word(self, parts: list[Token]) -> bool | None:
        return {"true": True, "false": False, "none": None}[str(parts[0])]

    def list(self, parts: Any) -> tuple[Any, ...]:  # last: its name hides the type
        return ListLiteral(parts)


class ListLiteral(tuple[Any, ...]):
    """A list in brackets, to distinguish it from the named tuples of the tree."""

    __slots__ = ()


class NamedAttribute:
    """An attribute of a call."""

    __slots__ = ("pair",)

    def __init__(self, name: Name, value: Any) -> None:
        self.pair = name, value


def as_literal(written: Any) -> Any:
    """A literal as a value: a quoted string is a word here, not a name."""
    if isinstance(written, Name) and written.token.type == "STRING":
        return written.text
    return ListLiteral(map(as_literal, written)) if isinstance(written, ListLiteral) else written


def parse_int(token: Token) -> int:
    """A whole number of 64 bits. TokenError for a longer one."""
    if len(token) > MAX_DIGITS:
        raise TokenError(f"a number of {len(token)} digits is too large", token)
    return int(token)


MAX_DIGITS = 19  # of a number of 64 bits, or 18 and a sign


def unquote(token: Token) -> str:
    try:
        text: str = json.loads(token)
        return text
    except ValueError:
        advice = 'Write \\" and \\\\ for a quote and a backslash.'
        raise TokenError(f"{token} has an escape that means nothing", token, advice) from None


_TYPE_CACHE: dict[str, tuple[TensorType, str | None]] = {}


def parse_type(token: Token) -> tuple[TensorType, str | None]:
    """`f32[1,?8,4]:nhwc` as a type and a layout; cached, because a net has few different ones."""
    if token not in _TYPE_CACHE:
        head, _, layout = str(token).partition(":")
        dtype, _, inside = head[:-1].partition("[")
        if dtype not in DTYPES:
            raise unknown_dtype_error(token, dtype)
        words = [w.strip() for w in inside.split(",")] if inside.strip() else []
        if not all(w.removeprefix("?").isdigit() and len(w) <= MAX_DIGITS for w in words):
            raise TokenError(
                f"{token[:40]} is no type", token, "A type is an element type and sizes: f32[1,3,224,224]."
            )
        dims = tuple(AtMost(int(w[1:])) if w[0] == "?" else int(w) for w in words)
        if len(_TYPE_CACHE) > 10_000:
            _TYPE_CACHE.clear()
        _TYPE_CACHE[str(token)] = TensorType(dtype, dims), layout or None
    return _TYPE_CACHE[str(token)]


def unknown_dtype_error(token: Token, dtype: str | None = None) -> TokenError:
    return TokenError(f"no element type is called {dtype or token}", token, f"There are {', '.join(DTYPES)}.")
