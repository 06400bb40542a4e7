"""Reads a .prototxt: its text, checked field by field against Caffe's schema, with all its mistakes told at once."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from ...compiler.errors import CompileError, Loc, raise_all
from . import textformat
from .message import Message, Unknown
from .scalars import ARTICLES, READERS, Mistake, shown
from .schema import Kind, kinds
from .textformat import Block, Field, Scalar

__all__ = ["Message", "Unknown", "parse", "read"]

DEPTH = 100  # protobuf's own limit
SOLVER = {"net", "train_net", "base_lr", "lr_policy", "max_iter", "solver_mode"}


def read(path: str | Path) -> Message:
    """The NetParameter of a file. CompileError if it cannot be read, is no prototxt, or has values of a wrong kind."""
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise CompileError(f"{path}: {e.strerror or e}", advice="Give the path of the net's .prototxt.") from None
    return parse(textformat.decode(data), str(path))


def parse(text: str, file: str = "<text>", type: str = "NetParameter") -> Message:
    """The NetParameter (or message of another `type`) written in `text`."""
    tree = textformat.parse(text, file)
    reader = Reader(text.removeprefix("\ufeff"), file)
    message = reader.message(tree, type)
    if type == "NetParameter" and not message.values.keys() & {"layer", "layers"}:
        reader.errors.extend(solver(message))
    raise_all(reader.errors)
    return message


def solver(message: Message) -> list[CompileError]:
    """Whether this file tells how to train a net, and is not a net itself."""
    found = [u for u in message.unknown if u.name in SOLVER]
    if len(found) < 2:
        return []
    advice = "Give the net that it names after net: or train_net:, or its deploy.prototxt."
    return [CompileError("this is a solver's prototxt, not a net", found[0].loc, message.text, advice)]


class Reader:
    """One text as it is checked: what it says becomes messages, and what is wrong with it is collected."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.errors: list[CompileError] = []

    def message(self, block: Block, type: str, depth: int = 0) -> Message:
        values: dict[str, list[Any]] = {}
        places: dict[str, list[Loc]] = {}
        unknown: list[Unknown] = []
        known = kinds(type)
        for field in block.fields:
            kind = known.get(field.name)
            if kind is None:
                near = difflib.get_close_matches(field.name, known, 1, 0.87)
                unknown.append(Unknown(field.name, self.loc(field), field, type, near[0] if near else ""))
                continue
            if not kind.repeated and (field.name in places or len(field.values) != 1):
                self.twice(field, places)
                continue
            places.setdefault(field.name, []).extend([self.loc(field)] * len(field.values))
            for value in field.values:
                try:
                    values.setdefault(field.name, []).append(self.value(value, kind, field.name, depth))
                except Mistake as e:
                    self.complain(value, *e.args)
        for name, kind in known.items():
            if kind.required and name not in places:
                self.complain(block, f"{type} needs {name}", f"Add {name}: ... here.")
        return Message(
            type,
            self.loc(block),
            self.text,
            {name: tuple(found) for name, found in values.items()},
            {name: tuple(found) for name, found in places.items()},
            tuple(unknown),
        )

    def value(self, value: Scalar | Block, kind: Kind, name: str, depth: int) -> Any:
        if isinstance(value, Block):
            if not kind.message:
                raise Mistake(f"{name} takes {ARTICLES[kind.type]}, not a block", f"Write {name}: and the value.")
            if depth >= DEPTH:
                raise Mistake(f"blocks are nested deeper than {DEPTH}", "Is a closing brace missing above?")
            return self.message(value, kind.message, depth + 1)
        if kind.message:
            raise Mistake(f"{name} takes a block, not {shown(value)}", f"Write {name} {{ ... }}.")
        return READERS[kind.type](value, kind, name)

    def twice(self, field: Field, places: dict[str, list[Loc]]) -> None:
        """A field that may stand once, given again or as a list: protobuf's text parser refuses it, so Caffe does."""
        if field.name in places:
            sentence = f"{field.name} is given twice; it is also on line {places[field.name][0].line}"
            self.complain(field, sentence, "Keep one of the two: this field holds a single value.")
        else:
            self.complain(field, f"{field.name} holds a single value, not a list", "Write it without brackets.")

    def complain(self, at: Scalar | Block | Field, sentence: str, advice: str = "") -> None:
        self.errors.append(CompileError(sentence, self.loc(at), self.text, advice))

    def loc(self, at: Scalar | Block | Field) -> Loc:
        return Loc(self.file, at.line, at.column)
