"""The schema that caffe_pb2 offers: cortado's, without the fields of forks that have no number of their own in it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from ....frontends.files.scalars import FORKS_NUMBERS
from ....frontends.files.schema import file_descriptor, parse_schema

ROOTS = ("NetParameter", "BlobProtoVector", "SolverParameter", "SolverState", "LabelMap", "AnnotatedDatum")
NESTED = (
    "Engine",
    "PoolMethod",
)  # declared once in cortado's schema; in Caffe's, in each message that has such a field


@functools.cache
def official_file() -> FileDescriptor:
    """The schema: BVLC Caffe's, the SSD fork's, NVCaffe's raw blobs, and the messages of `additions.proto`.

    Fields, and values of enums, that cortado numbers itself are left out: no other program could read a file with them.
    A pool of its own holds it, so that it does not clash with another Caffe's.
    """
    result = file_descriptor()
    additions = parse_schema(files(__package__).joinpath("additions.proto").read_text("utf-8"))
    result.message_type.extend(additions.message_type)
    shared = {enum.name: enum for enum in result.enum_type}
    for message in result.message_type:
        keep_numbered(message)
        nest_enums(message, shared)
    for enum in result.enum_type:
        keep_values(enum)
    messages = {message.name: message for message in result.message_type}
    reached = reachable_messages(messages)
    del result.message_type[:]
    result.message_type.extend(message for name, message in messages.items() if name in reached)
    enums = [enum for enum in result.enum_type if enum.name not in NESTED]
    del result.enum_type[:]
    result.enum_type.extend(enums)
    pool = DescriptorPool()
    pool.AddSerializedFile(result.SerializeToString())
    return pool.FindFileByName(result.name)


def keep_numbered(message: DescriptorProto) -> None:
    """Remove the fields, and the values of enums inside the message, that have a number of cortado's own."""
    kept = [field for field in message.field if field.number < FORKS_NUMBERS]
    del message.field[:]
    message.field.extend(kept)
    for enum in message.enum_type:
        keep_values(enum)


def keep_values(enum: EnumDescriptorProto) -> None:
    kept = [value for value in enum.value if value.number < FORKS_NUMBERS]
    del enum.value[:]
    enum.value.extend(kept)


def nest_enums(message: DescriptorProto, shared: dict[str, EnumDescriptorProto]) -> None:
    """Declare the enums of NESTED inside the message, where Caffe has them: `PoolingParameter.MAX`."""
    for name in NESTED:
        if any(field.type_name == name for field in message.field):
            keep_values(nested := EnumDescriptorProto.FromString(shared[name].SerializeToString()))
            message.enum_type.append(nested)


def reachable_messages(messages: dict[str, DescriptorProto]) -> set[str]:
    """The names of the messages that the fields of ROOTS lead to."""
    found, waiting = set[str](), list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in messages and name not in found:
            found.add(name)
            waiting += [referred_type(field) for field in messages[name].field]
    return found


def referred_type(field: FieldDescriptorProto) -> str:
    """The message that a field's type names or is declared in: "AnnotatedDatum" of `AnnotatedDatum.AnnotationType`."""
    return field.type_name.removeprefix(".caffe.").split(".")[0]


def names() -> dict[str, Any]:
    """What a module made by protoc contains: classes, enums with their values, descriptors with underscores."""
    file = official_file()
    found: dict[str, Any] = {"DESCRIPTOR": file}
    for name, enum in file.enum_types_by_name.items():
        found |= {name: EnumTypeWrapper(enum), f"_{name.upper()}": enum}
        found |= {value.name: value.number for value in enum.values}
    for name, message in file.message_types_by_name.items():
        found |= {name: GetMessageClass(message)}
        found |= dict(underscored(message))
    return found


def underscored(message: Descriptor) -> Iterator[tuple[str, Any]]:
    """The descriptors of a message and of its enums: `_V1LAYERPARAMETER`, `_V1LAYERPARAMETER_LAYERTYPE`."""
    yield f"_{message.name.upper()}", message
    for enum in message.enum_types:
        yield f"_{message.name.upper()}_{enum.name.upper()}", enum
