"""From the rules of the grammar to the plain objects of the tree."""

from __future__ import annotations

import json
from typing import Any

from lark import Token, Transformer

from ..types import DTYPES, AtMost, TensorType
from .tree import (
    Block,
    Call,
    File,
    Function,
    Line,
    Name,
    Output,
    Parameter,
    PlaceAt,
    PlaceIn,
    PlaceOver,
    Repeat,
    Rounds,
    Shaped,
    Size,
    Sum,
    Typed,
    Weight,
)

STATEMENTS = (Weight, Line, Repeat)


class Bad(Exception):
    """A token that reads well and says nothing."""

    def __init__(self, message: str, token: Token, advice: str = "") -> None:
        super().__init__(message)
        self.message, self.token, self.advice = message, token, advice


class Objects(Transformer[Token, Any]):
    """One method for each rule of the grammar, called as the rule is recognised: no tree is built."""

    def start(self, parts: list[Any]) -> File:
        weights = parts.pop(0) if isinstance(parts[0], str) else None
        functions = tuple(p for p in parts if isinstance(p, Function))
        return File(weights, tuple(p for p in parts if isinstance(p, Block)), functions)

    def weights(self, parts: list[Token]) -> str:
        return unquoted(parts[0])

    def graph(self, parts: list[Any]) -> Block:
        kind, name, *rest = parts
        inputs = tuple(p for p in rest if isinstance(p, Typed))
        body = tuple(p for p in rest if isinstance(p, STATEMENTS))
        arena = next((p for p in rest if isinstance(p, int)), None)
        return Block(str(kind), name, inputs, arena, body, tuple(p for p in rest if isinstance(p, Output)))

    def arena(self, parts: list[Token]) -> int:
        return int(parts[0])

    def function(self, parts: list[Any]) -> Function:
        name, *rest = parts
        parameters = tuple(p for p in rest if isinstance(p, Parameter))
        body = tuple(p for p in rest if isinstance(p, STATEMENTS))
        return Function(name, parameters, body, tuple(p for p in rest if isinstance(p, Name | Call)))

    def parameter(self, parts: list[Any]) -> Parameter:
        return Parameter(parts[0], len(parts) > 1, literal(parts[1]) if len(parts) > 1 else None)

    def weight(self, parts: list[Any]) -> Weight:
        given = parts[1] if len(parts) > 1 else None
        return Weight(parts[0], given if isinstance(given, Token) else literal(given))

    def line(self, parts: list[Any]) -> Line:
        targets = tuple(p for p in parts if isinstance(p, Typed))
        call = parts[len(targets)]
        return Line(targets, call, tuple(parts[len(targets) + 1 :]))

    def repeat(self, parts: list[Any]) -> Repeat:
        return Repeat(parts[0], parts[1], tuple(parts[2:]))

    def times(self, parts: list[Any]) -> Rounds:
        return Rounds((), parts[0])

    def span(self, parts: list[Any]) -> Rounds:
        return Rounds((parts[0],), *parts[1:])

    def each(self, parts: list[Any]) -> Rounds:
        return Rounds(tuple(parts[:-1]), literal(parts[-1]))

    def target(self, parts: list[Any]) -> Typed:
        return self.typed(parts) if len(parts) > 1 else Typed(parts[0], None, None)

    def typed(self, parts: list[Any]) -> Typed:
        return Typed(parts[0], *parts[1])

    def type(self, parts: list[Token]) -> tuple[TensorType, str | None]:
        return typed(parts[0])

    def shaped(self, parts: list[Any]) -> tuple[Shaped, None]:
        dtype, *sizes = parts
        if dtype not in DTYPES:
            raise no_type(dtype)
        return Shaped(dtype, tuple(sizes)), None

    def output(self, parts: list[Name]) -> Output:
        return Output(parts[0], parts[-1])

    def at(self, parts: list[Token]) -> PlaceAt:
        return PlaceAt(int(parts[0]))

    def over(self, parts: list[Name]) -> PlaceOver:
        return PlaceOver(parts[0])

    def within(self, parts: list[Any]) -> PlaceIn:
        return PlaceIn(parts[0], int(parts[1]), int(parts[2]))

    def nowhere(self, parts: list[Any]) -> None:
        return None

    def call(self, parts: list[Any]) -> Call:
        attributes: dict[str, Any] = {}
        for name, value in (p.pair for p in parts if isinstance(p, Given)):
            if name.text in attributes:
                raise Bad(f"{name.text} is given twice", name.token)
            attributes[name.text] = value
        return Call(parts[0], tuple(p for p in parts[1:] if not isinstance(p, Given)), attributes)

    def attribute(self, parts: list[Any]) -> Given:
        return Given(parts[0], literal(parts[1]))

    def sum(self, parts: list[Any]) -> Sum:
        return Sum(parts[1], parts[0], parts[2])

    def size(self, parts: list[Any]) -> Size:
        return Size(*parts)

    def name(self, parts: list[Token]) -> Name:
        token = parts[0]
        return Name(unquoted(token) if token.type == "STRING" else str(token), token)

    def number(self, parts: list[Token]) -> float:
        text = parts[0]
        whole = text.lstrip("+-").isdigit() and float(text).hex() != "-0x0.0p+0"  # minus zero is no whole number
        return int(text) if whole else float(text)

    def word(self, parts: list[Token]) -> bool | None:
        return {"true": True, "false": False, "none": None}[str(parts[0])]

    def list(self, parts: Any) -> tuple[Any, ...]:  # last: its name hides the type
        return Items(parts)


class Items(tuple[Any, ...]):
    """A list in brackets, told from the named tuples of the tree."""

    __slots__ = ()


class Given:
    """An attribute of a call."""

    __slots__ = ("pair",)

    def __init__(self, name: Name, value: Any) -> None:
        self.pair = name, value


def literal(written: Any) -> Any:
    """Where a value is due, quotes are around a word, not around a name."""
    if isinstance(written, Name) and written.token.type == "STRING":
        return written.text
    return Items(map(literal, written)) if isinstance(written, Items) else written


def unquoted(token: Token) -> str:
    try:
        text: str = json.loads(token)
        return text
    except ValueError:
        advice = 'Write \\" and \\\\ for a quote and a backslash.'
        raise Bad(f"{token} has an escape that means nothing", token, advice) from None


_TYPES: dict[str, tuple[TensorType, str | None]] = {}


def typed(token: Token) -> tuple[TensorType, str | None]:
    """`f32[1,?8,4]:nhwc` as a type and a layout. A net has few different ones: each is read once."""
    if token not in _TYPES:
        head, _, layout = str(token).partition(":")
        dtype, _, inside = head[:-1].partition("[")
        if dtype not in DTYPES:
            raise no_type(token, dtype)
        words = [w.strip() for w in inside.split(",")] if inside.strip() else []
        if not all(w.removeprefix("?").isdigit() for w in words):
            raise Bad(f"{token} is no type", token, "A type is an element type and sizes: f32[1,3,224,224].")
        dims = tuple(AtMost(int(w[1:])) if w[0] == "?" else int(w) for w in words)
        if len(_TYPES) > 10_000:
            _TYPES.clear()
        _TYPES[str(token)] = TensorType(dtype, dims), layout or None
    return _TYPES[str(token)]


def no_type(token: Token, dtype: str | None = None) -> Bad:
    return Bad(f"no element type is called {dtype or token}", token, f"There are {', '.join(DTYPES)}.")
