"""Parses protobuf's text format, in which Caffe nets are written, into a syntax tree with source locations."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken

from ...compiler.encodings import invalid_byte_advice
from ...compiler.errors import CompileError, Loc
from ...compiler.text_limits import check_nesting
from .file_sniffing import empty_file_error, not_prototxt_error
from .syntax_errors import unexpected_character_error, unexpected_token_error

ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
ESCAPE_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar value with line and column (from 1). `token_type` is "number", "word" or "string".

    `text` of a number or word is its spelling without spaces (`-2`, `0x1F`, `1.f`, `-inf`); of a string, its value:
    escapes resolved, adjacent literals joined.
    """

    token_type: str
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """The fields between two braces, or of a whole file, in order; line and column are the opening brace's."""

    fields: tuple[FieldSyntax, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class FieldSyntax:
    """`name: value`; a list `[a, b]` is several values. Line and column are the name's; an extension keeps brackets."""

    name: str
    values: tuple[Scalar | MessageBlock, ...]
    is_list: bool
    line: int
    column: int


def decode(data: bytes) -> str:
    """Decode a file as UTF-8. Another byte becomes a surrogate, which `parse` accepts in comments only."""
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def parse(text: str, file: str = "<text>") -> MessageBlock:
    """Parse a text. CompileError, with line and column, if it is not text format or another type of file."""
    text = text.removeprefix("\ufeff")
    if fault := not_prototxt_error(text, file):
        raise fault
    check_nesting(text, file)
    try:
        tree: Any = grammar().parse(text)
    except UnexpectedToken as e:
        raise unexpected_token_error(e, text, file) from None
    except UnexpectedCharacters as e:
        raise unexpected_character_error(e, text, file) from None
    except BadString as e:
        token: Token = e.args[0]
        raise CompileError(
            "this string is not UTF-8 text",
            Loc(file, token.line or 1, token.column or 1),
            text,
            invalid_byte_advice(file),
        ) from None
    result: MessageBlock = tree
    if not result.fields:
        raise empty_file_error(text, file)
    return result


@functools.cache
def grammar() -> Lark:
    """The parser, which builds the tree while parsing; constructing it takes about 10 ms."""
    rules = files(__package__).joinpath("textformat.lark").read_text("utf-8")
    return Lark(rules, parser="lalr", lexer="basic", transformer=MessageTreeBuilder(visit_tokens=False))


class BadString(Exception):
    """A string token whose bytes are not UTF-8."""


class MessageTreeBuilder(Transformer[Token, Any]):
    """One method for each rule of the grammar."""

    def start(self, fields: list[FieldSyntax]) -> MessageBlock:
        return MessageBlock(tuple(fields), 1, 1)

    def field(self, children: list[Any]) -> FieldSyntax:
        key, value = children
        name = key if key.type == "NAME" else key[:-1].rstrip()
        if isinstance(value, list):
            return FieldSyntax(str(name), tuple(value), True, key.line, key.column)
        return FieldSyntax(str(name), (value,), False, key.line, key.column)

    def extension(self, children: list[Token]) -> Token:
        return Token.new_borrow_pos("NAME", f"{''.join(children)}]", children[0])

    def number(self, children: list[Token]) -> Scalar:
        return make_scalar("number", children[0])

    def word(self, children: list[Token]) -> Scalar:
        return make_scalar("word", children[0])

    def string(self, children: list[Token]) -> Scalar:
        text = unquote(children[0]) if len(children) == 1 else "".join(map(unquote, children))
        return Scalar("string", text, children[0].line or 1, children[0].column or 1)

    def block(self, children: list[Any]) -> MessageBlock:
        return MessageBlock(tuple(children[1:]), children[0].line, children[0].column)

    def list(self, items: list[Any]) -> list[Any]:
        return items


def make_scalar(token_type: str, token: Token) -> Scalar:
    """A scalar from a token, without spaces after its sign."""
    text = str(token) if token[0] != "-" else "-" + token[1:].lstrip()
    return Scalar(token_type, text, token.line or 1, token.column or 1)


def unquote(token: Token) -> str:
    """The value of a quoted string, with protobuf's C escapes. BadString if it is not UTF-8."""
    if "\\" not in token and token.isascii():
        return token[1:-1]
    try:
        return ESCAPE.sub(unescape, token[1:-1].encode("utf-8")).decode("utf-8")
    except UnicodeError:
        raise BadString(token) from None


def unescape(found: re.Match[bytes]) -> bytes:
    """The bytes of one escape sequence."""
    octal, hexadecimal, short, long, letter = found.groups()
    if octal:
        return bytes([int(octal, 8) & 255])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        return chr(min(code, 0x110000 - 1)).encode("utf-8")
    return ESCAPE_LETTERS.get(letter, letter)
