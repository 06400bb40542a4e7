"""The text as a tree of plain objects: what was written, and where; nothing resolved yet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from ..errors import CompileError, Loc
from ..ir import NOWHERE, Place, Within
from ..types import DTYPES, AtMost, TensorType


class Name(NamedTuple):
    text: str
    token: Token


class Typed(NamedTuple):
    name: Name
    type: TensorType | None
    layout: str | None


class Weight(NamedTuple):
    typed: Typed
    given: Any  # a handle as Token, the numbers themselves, or None: not bound yet


class Call(NamedTuple):
    target: Name
    operands: tuple[Name | Call, ...]
    attributes: dict[str, Any]


class Line(NamedTuple):
    targets: tuple[Typed, ...]
    call: Call
    places: tuple[Place, ...]


class Output(NamedTuple):
    name: Name
    value: Name


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    name: Name
    inputs: tuple[Typed, ...]
    arena: int | None
    body: tuple[Weight | Line, ...]
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class File:
    weights: str | None
    blocks: tuple[Block, ...]


class Bad(Exception):
    """A token that reads well and says nothing."""

    def __init__(self, message: str, token: Token, advice: str = "") -> None:
        super().__init__(message)
        self.message, self.token, self.advice = message, token, advice


def read(text: str, file: str) -> File:
    """The tree, or CompileError at the first place that cannot be read."""
    try:
        tree: File = grammar().parse(text)  # type: ignore[assignment]
        return tree
    except Bad as e:
        raise CompileError(e.message, at(e.token, file), text, e.advice) from None
    except VisitError as e:
        if not isinstance(e.orig_exc, Bad):
            raise
        raise CompileError(e.orig_exc.message, at(e.orig_exc.token, file), text, e.orig_exc.advice) from None
    except UnexpectedToken as e:
        if e.token.type == "$END":
            raise unfinished(text, file) from None
        raise CompileError(f"did not expect {str(e.token)!r} here", at(e.token, file), text, hint(e)) from None
    except UnexpectedCharacters as e:
        found = text[e.pos_in_stream or 0]
        raise CompileError(f"did not expect {found!r} here", Loc(file, e.line, e.column), text, hint(e)) from None


def unfinished(text: str, file: str) -> CompileError:
    opened = text.rfind("{")
    if opened < 0:
        return CompileError(f"{file}: there is no net in this text", advice='A net begins "net name(x: f32[1,3]) {".')
    line, column = text.count("\n", 0, opened) + 1, opened - text.rfind("\n", 0, opened)
    advice = "Is the file cut off? A net ends with `return` and a closing brace."
    return CompileError("the text ends before this brace is closed", Loc(file, line, column), text, advice)


def hint(e: UnexpectedInput) -> str:
    wanted = sorted(getattr(e, "accepts", None) or getattr(e, "expected", None) or getattr(e, "allowed", None) or ())
    spelled = [SPELLED.get(w, w.lower()) for w in wanted]
    return f"Here could stand: {', '.join(dict.fromkeys(spelled))}." if 0 < len(spelled) <= 8 else ""


SPELLED = {
    "RPAR": ")", "LPAR": "(", "RBRACE": "}", "LBRACE": "{", "LSQB": "[", "RSQB": "]", "COMMA": "a comma",
    "EQUAL": "=", "COLON": ":", "NAME": "a name", "STRING": "a quoted name", "TYPE": "a type", "KIND": "net",
    "INT": "a whole number", "NUMBER": "a number", "_": "_", "HANDLE": "a handle @...", "WORD": "true, false",
}  # fmt: skip


def at(token: Token, file: str) -> Loc:
    return Loc(file, token.line or 1, token.column or 1)


@cache
def grammar() -> Lark:
    text = files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(text, parser="lalr", transformer=Objects(), maybe_placeholders=False)


class Objects(Transformer[Token, Any]):
    """One method for each rule of the grammar, called as the rule is recognised: no tree is built."""

    def start(self, parts: list[Any]) -> File:
        weights = parts.pop(0) if isinstance(parts[0], str) else None
        return File(weights, tuple(parts))

    def weights(self, parts: list[Token]) -> str:
        return unquoted(parts[0])

    def graph(self, parts: list[Any]) -> Block:
        kind, name, *rest = parts
        inputs = tuple(p for p in rest if isinstance(p, Typed))
        body = tuple(p for p in rest if isinstance(p, Weight | Line))
        arena = next((p for p in rest if isinstance(p, int)), None)
        return Block(str(kind), name, inputs, arena, body, tuple(p for p in rest if isinstance(p, Output)))

    def arena(self, parts: list[Token]) -> int:
        return int(parts[0])

    def weight(self, parts: list[Any]) -> Weight:
        return Weight(parts[0], parts[1] if len(parts) > 1 else None)

    def line(self, parts: list[Any]) -> Line:
        targets = tuple(p for p in parts if isinstance(p, Typed))
        call = parts[len(targets)]
        return Line(targets, call, tuple(parts[len(targets) + 1 :]))

    def target(self, parts: list[Any]) -> Typed:
        return self.typed(parts) if len(parts) > 1 else Typed(parts[0], None, None)

    def typed(self, parts: list[Any]) -> Typed:
        type, layout = typed(parts[1])
        return Typed(parts[0], type, layout)

    def output(self, parts: list[Name]) -> Output:
        return Output(parts[0], parts[-1])

    def at(self, parts: list[Token]) -> Place:
        return Place(at=int(parts[0]))

    def over(self, parts: list[Name]) -> Place:
        return Place(over=parts[0].text)

    def within(self, parts: list[Any]) -> Place:
        return Place(within=Within(parts[0].text, int(parts[1]), int(parts[2])))

    def nowhere(self, parts: list[Any]) -> Place:
        return NOWHERE

    def call(self, parts: list[Any]) -> Call:
        operands = tuple(p for p in parts[1:] if isinstance(p, Name | Call))
        given = [p for p in parts[1:] if not isinstance(p, Name | Call)]
        attributes: dict[str, Any] = {}
        for name, value in given:
            if name.text in attributes:
                raise Bad(f"{name.text} is given twice", name.token)
            attributes[name.text] = value
        return Call(parts[0], operands, attributes)

    def attribute(self, parts: list[Any]) -> tuple[Name, Any]:
        return parts[0], parts[1]

    def name(self, parts: list[Token]) -> Name:
        token = parts[0]
        return Name(unquoted(token) if token.type == "STRING" else str(token), token)

    def number(self, parts: list[Token]) -> float:
        text = parts[0]
        whole = text.lstrip("+-").isdigit() and float(text).hex() != "-0x0.0p+0"  # minus zero is no whole number
        return int(text) if whole else float(text)

    def word(self, parts: list[Token]) -> bool | None:
        return {"true": True, "false": False, "none": None}[str(parts[0])]

    def string(self, parts: list[Token]) -> str:
        return unquoted(parts[0])

    def list(self, parts: Any) -> tuple[Any, ...]:  # last: its name hides the type
        return tuple(parts)


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
            raise Bad(f"no element type is called {dtype}", token, f"There are {', '.join(DTYPES)}.")
        words = [w.strip() for w in inside.split(",")] if inside.strip() else []
        if not all(w.removeprefix("?").isdigit() for w in words):
            raise Bad(f"{token} is no type", token, "A type is an element type and sizes: f32[1,3,224,224].")
        dims = tuple(AtMost(int(w[1:])) if w[0] == "?" else int(w) for w in words)
        if len(_TYPES) > 10_000:
            _TYPES.clear()
        _TYPES[str(token)] = TensorType(dtype, dims), layout or None
    return _TYPES[str(token)]
