"""Caffe's message types, built from `caffe.proto` on first use (40 ms): no generated code, no protoc."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from lark import Lark, Token, Transformer

TYPES = {name[5:].lower(): number for name, number in FieldDescriptorProto.Type.items()}  # "int32" of TYPE_INT32
TYPE_NAMES: dict[int, str] = {number: name for name, number in TYPES.items()}
LABELS = {
    name[6:].lower(): number for name, number in FieldDescriptorProto.Label.items()
}  # "optional" of LABEL_OPTIONAL


class FieldTypes(Protocol):
    """What a file's messages are read by: the fields of message types."""

    def field_types(self, type: str) -> Mapping[str, FieldType]:
        """The types of a message's fields, by name. KeyError if there is no such message."""

    def given(self, type: str) -> Mapping[str, tuple[Any, ...]]:
        """The fields that a message has though its file does not set them: with defaults that are not Caffe's."""

    def own_fields(self, type: str) -> frozenset[str] | None:
        """The fields of a message in the one fork that wrote the file; None if it is not known."""


class Schema:
    """The messages of one caffe.proto, which `make_file` gives when it is first needed."""

    def __init__(self, make_file: Callable[[], FileDescriptorProto]) -> None:
        self.make_file = make_file
        self.known: dict[str, Mapping[str, FieldType]] = {}

    @functools.cached_property
    def file(self) -> FileDescriptor:
        """The file in a pool of its own, so that another Caffe's cannot clash. TypeError if it contradicts itself."""
        pool, made = DescriptorPool(), self.make_file()
        pool.AddSerializedFile(made.SerializeToString())
        return pool.FindFileByName(made.name)

    @functools.cached_property
    def messages(self) -> Mapping[str, Descriptor]:
        """All messages by name, nested ones as `Outer.Inner`."""
        found, waiting = dict[str, Descriptor](), list(self.file.message_types_by_name.values())
        while waiting:
            message = waiting.pop()
            found[message_name(message)] = message
            waiting += message.nested_types
        return found

    def descriptor(self, type: str) -> Descriptor:
        """Protobuf's descriptor of a message: `descriptor("NetParameter").fields_by_name`. KeyError as below."""
        return self.messages[type]

    def message_class(self, type: str) -> type[Message]:
        """Protobuf's class of a message: `message_class("LayerParameter")().ParseFromString(data)`."""
        return GetMessageClass(self.descriptor(type))

    def field_types(self, type: str) -> Mapping[str, FieldType]:
        """The types of a message's fields, by name. KeyError if there is no such message."""
        if type not in self.known:
            self.known[type] = {f.name: field_type(f) for f in self.descriptor(type).fields}
        return self.known[type]

    def given(self, type: str) -> Mapping[str, tuple[Any, ...]]:
        """None: see FieldTypes."""
        return {}

    def own_fields(self, type: str) -> frozenset[str] | None:
        """Unknown: cortado's schema has the fields of many forks."""
        return None


def file_descriptor() -> FileDescriptorProto:
    """`caffe.proto` as a descriptor, which the caller may change."""
    return parse_schema(files(__package__).joinpath("caffe.proto").read_text("utf-8"))


def parse_schema(text: str) -> FileDescriptorProto:
    """A descriptor from a text in the part of protobuf's schema language that proto.lark describes."""
    rules = files(__package__).joinpath("proto.lark").read_text("utf-8")
    reader = Lark(rules, parser="lalr", lexer="basic", transformer=DescriptorBuilder(visit_tokens=False))
    parsed: Any = reader.parse(text)
    result: FileDescriptorProto = parsed
    return result


CONFLICT = "conflict"  # the default of a field that no layer can read, even where it is not set


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field of a message. `type` is "int32", "float", "string", "enum", "message" and the like."""

    type: str
    repeated: bool
    required: bool
    default: int | float | bool | str | None  # an enum's is a name; None for messages
    message: str = ""  # the name of the message type, if it is one
    numbers: Mapping[str, int] = field(default_factory=dict)  # the numbers of an enum, by name
    enum: str = ""  # the full name of the enum, if it is one
    conflict: str = ""  # why no layer can read it: a fork's file has it in another sense than cortado's layers
    is_list: bool = False  # in that file; layers read a single value, and can if there is one


def message_name(message: Descriptor) -> str:
    """The name of a message in its package."""
    package: str = message.file.package
    return message.full_name.removeprefix(f"{package}.") if package else message.full_name


def field_type(field: FieldDescriptor) -> FieldType:
    """The type of a field from its descriptor."""
    repeated, required = field.is_repeated, field.is_required
    if field.message_type is not None:
        return FieldType("message", repeated, required, None, message=message_name(field.message_type))
    if field.enum_type is not None:
        numbers = {value.name: value.number for value in field.enum_type.values}
        default = None if repeated else field.enum_type.values_by_number[field.default_value].name
        return FieldType("enum", repeated, required, default, numbers=numbers, enum=field.enum_type.full_name)
    default = None if repeated else field.default_value
    return FieldType(TYPE_NAMES[field.type], repeated, required, default)


class DescriptorBuilder(Transformer[Token, Any]):
    """Builds protobuf descriptors from the parsed schema, one method for each rule of the grammar."""

    def start(self, children: list[Any]) -> FileDescriptorProto:
        syntax, package, *types = children
        messages = [t for t in types if isinstance(t, DescriptorProto)]
        enums = [t for t in types if isinstance(t, EnumDescriptorProto)]
        return FileDescriptorProto(
            name="caffe.proto", syntax=syntax[1:-1], package=package, message_type=messages, enum_type=enums
        )

    def message(self, children: list[Any]) -> DescriptorProto:
        result = DescriptorProto(name=children[0])
        for child in children[1:]:
            match child:
                case FieldDescriptorProto():
                    result.field.append(child)
                case EnumDescriptorProto():
                    result.enum_type.append(child)
                case DescriptorProto():
                    result.nested_type.append(child)
        return result

    def field(self, children: list[Token]) -> FieldDescriptorProto:
        label, type, name, _, number = children[0].split(" ")
        result = FieldDescriptorProto(name=name, number=int(number), label=LABELS[label])
        if type in TYPES:
            result.type = TYPES[type]
        else:
            result.type_name = type  # a message or an enum: the pool resolves which
        for token in children[1:]:
            option, value = token[1:-1].split(" = ")
            if option == "packed":
                result.options.packed = value == "true"
            else:
                result.default_value = value.strip('"')
        return result

    def enum(self, children: list[Token]) -> EnumDescriptorProto:
        result = EnumDescriptorProto(name=children[0])
        for token in children[1:]:
            name, number = token[:-1].split(" = ")
            result.value.add(name=name, number=int(number))
        return result


CAFFE = Schema(file_descriptor)  # cortado's own caffe.proto
descriptor, message_class, field_types = CAFFE.descriptor, CAFFE.message_class, CAFFE.field_types
