"""Parses a .proto file, the caffe.proto of a fork, to a descriptor. Nothing in it is run, no other file is read."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedToken
from lark.exceptions import VisitError

from ...compiler.encodings import wide_encoding_error
from ...compiler.errors import CompileError, Loc
from ...compiler.text_limits import check_nesting, read_limited
from . import textformat
from .schema import LABELS, TYPES

MAX_NUMBER = (1 << 29) - 1  # of a field
ADVICE = "Give the caffe.proto of the fork that wrote the net's files."


def read_proto(path: str | Path) -> FileDescriptorProto:
    """The descriptor of a .proto file. CompileError, with its place, for what is not in protobuf's language, proto2."""
    try:
        data = read_limited(Path(path))
    except OSError as e:
        raise CompileError(f"{path}: {e.strerror or e}", advice=ADVICE) from None
    text = textformat.decode(data)
    if fault := wide_encoding_error(data[:4096], str(path)):
        raise fault
    return parse_proto(text, str(path))


def parse_proto(text: str, file: str) -> FileDescriptorProto:
    """The descriptor of a text. Errors are those of `read_proto`."""
    check_nesting(text, file)
    builder = FileBuilder(text, file)
    try:
        made: FileDescriptorProto = builder.transform(grammar().parse(text))
    except UnexpectedToken as e:
        builder.refuse(e.token, f"{str(e.token)[:40]!r} is not expected here, in a .proto file")
    except (UnexpectedCharacters, UnexpectedEOF) as e:
        place = Loc(file, max(e.line, 1), max(e.column, 1))
        raise CompileError("this is not protobuf's schema language", place, text, ADVICE) from None
    except VisitError as e:
        raise e.orig_exc from None
    builder.check_types()
    return made


@functools.cache
def grammar() -> Lark:
    """The parser of the language."""
    rules = files(__package__).joinpath("proto_language.lark").read_text("utf-8")
    return Lark(rules, parser="lalr", propagate_positions=False)


class FileBuilder(Transformer[Token, Any]):
    """Builds descriptors, one method for each rule of the grammar, and knows where types are named."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__()
        self.text, self.file = text, file
        self.declared = set[str]()
        self.named = list[Token]()

    def refuse(self, at: Token, sentence: str, advice: str = ADVICE) -> NoReturn:
        """CompileError at a token."""
        raise CompileError(sentence, Loc(self.file, at.line or 1, at.column or 1), self.text, advice)

    def check_types(self) -> None:
        """CompileError for a type that the file does not declare."""
        for token in self.named:
            if token.rpartition(".")[2] not in self.declared:
                self.refuse(token, f"there is no type {token} in it", "Give one file that has all types.")

    def start(self, children: list[Any]) -> FileDescriptorProto:
        result = FileDescriptorProto(name="fork.proto", syntax="proto2")
        for child in children:
            match child:
                case DescriptorProto():
                    result.message_type.append(child)
                case EnumDescriptorProto():
                    result.enum_type.append(child)
                case Token():
                    result.package = child
        return result

    def syntax(self, children: list[Token]) -> None:
        if unquote(children[0]) != "proto2":
            self.refuse(children[0], "Caffe's files are of proto2, and this is another version of the language")

    def package(self, children: list[Token]) -> Token:
        return children[0]

    def message(self, children: list[Any]) -> DescriptorProto:
        name, *parts = children
        self.declared.add(str(name))
        result = DescriptorProto(name=name)
        for part in parts:
            match part:
                case FieldDescriptorProto():
                    result.field.append(part)
                case EnumDescriptorProto():
                    result.enum_type.append(part)
                case DescriptorProto():
                    result.nested_type.append(part)
                case list():
                    result.field.extend(part)
        return result

    def field(self, children: list[Any]) -> FieldDescriptorProto:
        label, type, name, number, *settings = children
        result = FieldDescriptorProto(name=name, label=LABELS[label], number=self.field_number(number))
        if type in TYPES:
            result.type = TYPES[type]
        else:
            result.type_name = type  # a message or an enum: the pool resolves which
            self.named.append(type)
        for key, value in settings:
            if key == "packed":
                result.options.packed = value == "true"
            elif key == "default":
                result.default_value = value
        return result

    def choice(self, children: list[Any]) -> FieldDescriptorProto:
        return self.field(["optional", *children])

    def oneof(self, children: list[Any]) -> list[FieldDescriptorProto]:
        return [child for child in children if isinstance(child, FieldDescriptorProto)]

    def extend(self, children: list[Any]) -> None:
        return None

    option = extend  # what is not for a reader of files

    def enum(self, children: list[Any]) -> EnumDescriptorProto:
        name, *values = children
        self.declared.add(str(name))
        result = EnumDescriptorProto(name=name)
        result.options.allow_alias = True
        for value in values:
            if isinstance(value, tuple):
                result.value.add(name=value[0], number=value[1])
        return result

    def value(self, children: list[Any]) -> tuple[str, int]:
        name, *rest = (child for child in children if isinstance(child, Token))
        sign = -1 if rest[0] == "-" else 1
        number = sign * self.integer(rest[-1])
        if not -(1 << 31) <= number < 1 << 31:
            self.refuse(rest[-1], f"the value of an enum is a number of 32 bits, not {rest[-1]}")
        return str(name), number

    def setting(self, children: list[Any]) -> tuple[str, str]:
        return str(children[0]), children[-1]

    def constant(self, children: list[Token]) -> str:
        if children[0].type == "STRING":
            return "".join(map(unquote, children))
        *sign, last = children
        is_hex, is_number = last[:2] in ("0x", "0X"), last.type == "NUMBER"
        text = str(int(last, 16)) if is_hex else str(last.removesuffix("f") if is_number else last)
        return f"{'-' * (sign == ['-'])}{text}"

    def field_number(self, token: Token) -> int:
        number = self.integer(token)
        if not 0 < number <= MAX_NUMBER:
            self.refuse(token, f"a field's number is between 1 and {MAX_NUMBER}, not {token}")
        return number

    def integer(self, token: Token) -> int:
        try:
            return int(token, 16 if token[:2] in ("0x", "0X") else 8 if token[0] == "0" and len(token) > 1 else 10)
        except ValueError:
            self.refuse(token, f"a whole number is wanted, not {token}")


def unquote(token: Token) -> str:
    """The value of a quoted string."""
    try:
        return textformat.unquote(token)
    except textformat.BadString:
        return token[1:-1]
