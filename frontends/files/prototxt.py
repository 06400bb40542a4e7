"""Reads a .prototxt and checks each field against Caffe's schema; all errors are reported together."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ...compiler.encodings import wide_encoding_error
from ...compiler.errors import CompileError, Loc, raise_all
from ...compiler.limits import MAX_ERRORS, MAX_NESTING
from ...compiler.suggestion import suggestion
from ...compiler.text_limits import read_stream
from . import textformat
from .file_sniffing import not_prototxt_error
from .generations import mixed_generations_error
from .message import Message, UnknownField
from .scalars import DESCRIPTIONS, READERS, BadValue, quote
from .schema import CAFFE, FieldType, FieldTypes
from .textformat import FieldSyntax, MessageBlock, Scalar

__all__ = ["Message", "UnknownField", "parse", "parse_bytes", "read"]

SOLVER_FIELDS = {"net", "train_net", "base_lr", "lr_policy", "max_iter", "solver_mode"}


def read(path: str | Path, schema: FieldTypes = CAFFE) -> Message:
    """Read the NetParameter of a file. CompileError if it cannot be read, is no prototxt, or has invalid values.

    `schema` has the fields that the file may set.
    """
    try:
        with Path(path).open("rb") as file:
            text = read_text(file, str(path))
    except OSError as e:
        raise CompileError(f"{path}: {e.strerror or e}", advice="Give the path of the net's .prototxt.") from None
    return parse(text, str(path), schema=schema)


def parse_bytes(data: bytes, name: str, schema: FieldTypes = CAFFE) -> Message:
    """The NetParameter of a prototxt in memory, as `read` reads a file; errors call it `name`."""
    return parse(read_text(BytesIO(data), name), name, schema=schema)


def read_text(file: BinaryIO, name: str) -> str:
    """The text of a file that is open, which may be a pipe. CompileError if it cannot be a prototxt."""
    head = file.read(4096)
    if fault := wide_encoding_error(head, name) or not_prototxt_error(textformat.decode(head), name):
        raise fault
    return textformat.decode(head + read_stream(file, name, already=len(head)))


def parse(text: str, file: str = "<text>", type: str = "NetParameter", schema: FieldTypes = CAFFE) -> Message:
    """Parse `text` as a NetParameter, or as a message of another `type`. CompileError if it is not one."""
    tree = textformat.parse(text, file)
    if type == "NetParameter" and (mixed := mixed_generations_error(tree, file, text.removeprefix("\ufeff"))):
        raise mixed
    reader = MessageReader(text.removeprefix("\ufeff"), file, schema)
    message = reader.read_message(tree, type)
    if type == "NetParameter" and not message.values.keys() & {"layer", "layers"}:
        reader.errors.extend(solver_errors(message))
    raise_all(reader.errors)
    return message


def solver_errors(message: Message) -> list[CompileError]:
    """An error if the message has two or more fields of a solver: the file describes training, not a net."""
    found = [u for u in message.unknown if u.name in SOLVER_FIELDS]
    if len(found) < 2:
        return []
    advice = "Give the net that it names after net: or train_net:, or its deploy.prototxt."
    return [CompileError("this is a solver's prototxt, not a net", found[0].loc, message.text, advice)]


class MessageReader:
    """Builds messages from the syntax tree of one text, and collects errors in `errors`."""

    def __init__(self, text: str, file: str, schema: FieldTypes) -> None:
        self.text, self.file, self.schema = text, file, schema
        self.label = ""  # the layer that is being read, as errors name it
        self.errors: list[CompileError] = []

    def read_message(self, block: MessageBlock, type: str, depth: int = 0) -> Message:
        """The message of a block; errors in it are collected."""
        values: dict[str, list[Any]] = {}
        places: dict[str, list[Loc]] = {}
        unknown: list[UnknownField] = []
        known = self.schema.field_types(type)
        for field in block.fields:
            field_type = known.get(field.name)
            if field_type is None:
                close = suggestion(field.name, known)
                unknown.append(UnknownField(field.name, self.loc_of(field), field, type, close))
                continue
            if not (field_type.repeated or field_type.is_list) and (field.name in places or len(field.values) != 1):
                self.report_repeated(field, places)
                continue
            places.setdefault(field.name, []).extend([self.loc_of(field)] * len(field.values))
            for value in field.values:
                if type == "NetParameter":
                    self.label = layer_label(value)
                try:
                    values.setdefault(field.name, []).append(self.read_value(value, field_type, field.name, depth))
                except BadValue as e:
                    self.report(value, *e.args)
            if type == "NetParameter":
                self.label = ""
        for name, field_type in known.items():
            if field_type.required and name not in places:
                self.report(block, f"{type} needs {name}", f"Add {name}: ... here.")
        return Message(
            type,
            self.loc_of(block),
            self.text,
            {**self.schema.given(type), **{name: tuple(found) for name, found in values.items()}},
            {name: tuple(found) for name, found in places.items()},
            tuple(unknown),
            self.schema,
        )

    def read_value(self, value: Scalar | MessageBlock, field_type: FieldType, name: str, depth: int) -> Any:
        """The value of a field. Raises BadValue."""
        if isinstance(value, MessageBlock):
            if not field_type.message:
                raise BadValue(
                    f"{name} takes {DESCRIPTIONS[field_type.type]}, not a block", f"Write {name}: and the value."
                )
            if depth >= MAX_NESTING:
                raise BadValue(f"blocks are nested deeper than {MAX_NESTING}", "Is a closing brace missing above?")
            return self.read_message(value, field_type.message, depth + 1)
        if field_type.message:
            raise BadValue(f"{name} takes a block, not {quote(value)}", f"Write {name} {{ ... }}.")
        return READERS[field_type.type](value, field_type, name)

    def report_repeated(self, field: FieldSyntax, places: dict[str, list[Loc]]) -> None:
        """Report a singular field that is set twice or to a list; protobuf's text parser refuses both."""
        if field.name in places:
            sentence = f"{field.name} is given twice; it is also on line {places[field.name][0].line}"
            self.report(field, sentence, "Keep one of the two: this field holds a single value.")
        else:
            self.report(field, f"{field.name} holds a single value, not a list", "Write it without brackets.")

    def report(self, at: Scalar | MessageBlock | FieldSyntax, sentence: str, advice: str = "") -> None:
        """Collect an error located at a node of the syntax tree."""
        self.errors.append(CompileError(self.label + sentence, self.loc_of(at), self.text, advice))
        if len(self.errors) == MAX_ERRORS:
            raise_all(self.errors)

    def loc_of(self, at: Scalar | MessageBlock | FieldSyntax) -> Loc:
        """The location of a node of the syntax tree."""
        return Loc(self.file, at.line, at.column)


def layer_label(value: Scalar | MessageBlock) -> str:
    """`layer "conv1" (Convolution): `, from the name and the type in a layer's block; "" for what has no name."""
    if isinstance(value, Scalar):
        return ""
    inner = [field.values[0] for field in value.fields if field.name == "layer" and field.values]
    blocks = [
        value,
        *(block for block in inner if isinstance(block, MessageBlock)),
    ]  # V0 has both in a block of its own
    given = {f.name: f.values[0] for block in blocks for f in block.fields if f.values}
    name, type = given.get("name"), given.get("type")
    if not isinstance(name, Scalar):
        return ""
    return f'layer "{name.text}"{f" ({type.text})" if isinstance(type, Scalar) else ""}: '
