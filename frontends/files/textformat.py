"""Reads protobuf's text format, in which Caffe nets are written, into a tree that knows where each thing stood."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken

from ...compiler.errors import CompileError, Loc
from .file_sniffing import empty_file_error, not_prototxt_error
from .syntax_errors import unexpected_character_error, unexpected_token_error

ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
ESCAPE_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, word or string as it was written, and its place (from 1). `kind` is "number", "word" or "string".

    `text` of a number or word has a sign but no spaces (`-2`, `0x1F`, `1.f`, `-inf`); of a string, it is what the
    string stands for: escapes resolved, neighbours joined.
    """

    token_type: str
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """What stands between two braces, or in a whole file, in the order written; its place is the opening brace."""

    fields: tuple[FieldSyntax, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class FieldSyntax:
    """`name: value`; a list `[a, b]` is several values. Its place is the name. An extension's name has its brackets."""

    name: str
    values: tuple[Scalar | MessageBlock, ...]
    is_list: bool
    line: int
    column: int


def decode(data: bytes) -> str:
    """A file's text: UTF-8; a byte that is not (in a Latin-1 comment, say) becomes a surrogate; `parse` judges it."""
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def parse(text: str, file: str = "<text>") -> MessageBlock:
    """The tree of a text. CompileError, at line and column, if it is no text format or quite another kind of file."""
    text = text.removeprefix("\ufeff")
    if fault := not_prototxt_error(text, file):
        raise fault
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
            "Save the file as UTF-8.",
        ) from None
    result: MessageBlock = tree
    if not result.fields:
        raise empty_file_error(text, file)
    return result


@functools.cache
def grammar() -> Lark:
    """The parser, which builds the tree while it reads; making it takes about 10 ms."""
    rules = files(__package__).joinpath("textformat.lark").read_text("utf-8")
    return Lark(rules, parser="lalr", lexer="basic", transformer=MessageTreeBuilder(visit_tokens=False))


class BadString(Exception):
    """A string token whose bytes are not UTF-8."""


class MessageTreeBuilder(Transformer[Token, Any]):
    """One method for each rule of the grammar."""

    def start(self, fields: list[FieldSyntax]) -> MessageBlock:
        return MessageBlock(tuple(fields), 1, 1)

    def field(self, parts: list[Any]) -> FieldSyntax:
        key, value = parts
        name = key if key.type == "NAME" else key[:-1].rstrip()
        if isinstance(value, list):
            return FieldSyntax(str(name), tuple(value), True, key.line, key.column)
        return FieldSyntax(str(name), (value,), False, key.line, key.column)

    def extension(self, parts: list[Token]) -> Token:
        return Token.new_borrow_pos("NAME", f"{''.join(parts)}]", parts[0])

    def number(self, parts: list[Token]) -> Scalar:
        return make_scalar("number", parts[0])

    def word(self, parts: list[Token]) -> Scalar:
        return make_scalar("word", parts[0])

    def string(self, parts: list[Token]) -> Scalar:
        text = unquote(parts[0]) if len(parts) == 1 else "".join(map(unquote, parts))
        return Scalar("string", text, parts[0].line or 1, parts[0].column or 1)

    def block(self, parts: list[Any]) -> MessageBlock:
        return MessageBlock(tuple(parts[1:]), parts[0].line, parts[0].column)

    def list(self, items: list[Any]) -> list[Any]:
        return items


def make_scalar(kind: str, token: Token) -> Scalar:
    text = str(token) if token[0] != "-" else "-" + token[1:].lstrip()
    return Scalar(kind, text, token.line or 1, token.column or 1)


def unquote(token: Token) -> str:
    """What a quoted string stands for; C's escapes, as protobuf has them."""
    if "\\" not in token and token.isascii():
        return token[1:-1]
    try:
        return ESCAPE.sub(unescape, token[1:-1].encode("utf-8")).decode("utf-8")
    except UnicodeError:
        raise BadString(token) from None


def unescape(found: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, letter = found.groups()
    if octal:
        return bytes([int(octal, 8) & 255])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        return chr(min(code, 0x110000 - 1)).encode("utf-8")
    return ESCAPE_LETTERS.get(letter, letter)
