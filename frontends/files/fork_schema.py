"""The caffe.proto of a fork: its files are read with its numbers, types and defaults, by the names that layers know.

A message of the fork stands for one of cortado's if it has the same place: `convolution_param` of a layer is the
settings of a convolution, whatever the fork calls its type. Where both have a field, the file decides its default; a
field that only the fork has is known, too, so that a layer which does not compute it is refused by its name. A field
that means something else there (a text in place of a number) can be set, but no layer can read it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ...compiler.errors import CompileError
from .caffemodel_layout import BLOB_NUMBERS, CaffemodelLayout, LayerFieldNumbers
from .proto_language import ADVICE, read_proto
from .schema import CAFFE, CONFLICT, FieldType, Schema, field_type, message_name

ROOTS = ("NetParameter", "BlobProto")
WHOLE = {"int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"}
KINDS = {**dict.fromkeys(WHOLE, "a whole number"), "float": "a number", "double": "a number", "bool": "true or false",
         "string": "a text", "bytes": "a text", "enum": "one of several names", "message": "a block"}  # fmt: skip
READERS_OF = {"sint32": "int32", "sfixed32": "int32", "fixed32": "uint32", "sint64": "int64", "sfixed64": "int64",
              "fixed64": "uint64"}  # fmt: skip
"""The type whose text looks the same, of those that differ on the wire alone."""
ONE_OF_LIST = {"stride": 1, "pad": 0, "dilation": 1}  # older files have one number with this default, today's a list
LAYER_FIELDS = ("name", "type", "bottom", "top", "blobs")
V1_ALONE = {"layer", "blobs_lr", "weight_decay", "blob_share_mode"}  # of V1LayerParameter, that became something else


class ForkSchema:
    """What a fork's caffe.proto says. `own` has its numbers, and `field_types` both Caffe's fields and the fork's."""

    def __init__(self, own: Schema, name: str) -> None:
        self.own, self.name = own, name
        self.ours = pair_types(own)
        self.known: dict[str, Mapping[str, FieldType]] = {}
        self.known_given: dict[str, Mapping[str, tuple[Any, ...]]] = {}

    def field_types(self, type: str) -> Mapping[str, FieldType]:
        """The fields of a message, by cortado's name of its type."""
        if type not in self.known:
            self.known[type] = self.merge(type)
        return self.known[type]

    def given(self, type: str) -> Mapping[str, tuple[Any, ...]]:
        """The fields whose defaults are not Caffe's: a message that does not set them is read as if it did."""
        if type not in self.known_given:
            caffes = CAFFE.field_types(type) if type in CAFFE.messages else {}
            self.known_given[type] = {
                name: (kind.default,)
                for name, kind in self.field_types(type).items()
                if name in caffes and not kind.conflict and kind.default != caffes[name].default
            }
        return self.known_given[type]

    def own_fields(self, type: str) -> frozenset[str]:
        """The fields of a message in this fork; of a layer, those of all its generations."""
        places = (type, "V1LayerParameter") if type == "LayerParameter" else (type,)
        theirs = [name for name, ours in self.ours.items() if ours in places]
        return frozenset(field.name for name in theirs for field in self.own.descriptor(name).fields)

    def merge(self, type: str) -> dict[str, FieldType]:
        """Caffe's fields, with what each of the fork's messages in this place says of them, and the fork's own."""
        found = dict(CAFFE.field_types(type)) if type in CAFFE.messages else {}
        caffes, said = dict(found), dict[str, FieldType]()
        for theirs in [theirs for theirs, ours in self.ours.items() if ours == type]:
            for field in self.own.descriptor(theirs).fields:
                made = self.merge_field(caffes.get(field.name), field)
                if field.name in said and said[field.name] != made:
                    sentence = f"differs between two messages of {self.name} that are in its place"
                    made = replace(made, conflict=sentence, default=CONFLICT)
                said[field.name] = found[field.name] = made
        if type == "LayerParameter":  # what only layers of 2014 have becomes a field of today's, as Caffe's own did
            old = self.field_types("V1LayerParameter")
            found |= {name: kind for name, kind in old.items() if name not in found and name not in V1_ALONE}
        return found

    def merge_field(self, caffes: FieldType | None, field: FieldDescriptor) -> FieldType:
        """A field as the fork has it, in the form in which cortado's layers read it."""
        theirs = field_type(field)
        theirs = replace(theirs, type=READERS_OF.get(theirs.type, theirs.type), message=self.our_name(theirs.message))
        if caffes is None:
            return theirs
        if sentence := self.describe_conflict(caffes, theirs):
            explicit = field.has_default_value and not theirs.repeated and theirs.default != caffes.default
            unset, is_list = CONFLICT if explicit else caffes.default, theirs.repeated and not caffes.repeated
            return replace(theirs, conflict=sentence, default=unset, repeated=caffes.repeated, is_list=is_list)
        if caffes.repeated and not theirs.repeated and theirs.default not in (None, 0, ONE_OF_LIST.get(field.name, 0)):
            sentence = f"is {theirs.default} in {self.name} if it is not set, and cortado's layers read a list"
            return replace(caffes, conflict=sentence, default=CONFLICT)
        numbers = {**theirs.numbers, **{n: v for n, v in caffes.numbers.items() if n not in theirs.numbers}}
        default = caffes.default if caffes.repeated or caffes.type == "message" else theirs.default
        wider = "double" if theirs.type == "double" else caffes.type
        return replace(caffes, type=wider, required=theirs.required, default=default, numbers=numbers)

    def describe_conflict(self, caffes: FieldType, theirs: FieldType) -> str:
        """Why a layer that reads Caffe's field cannot read the fork's; "" if it can."""
        ours, other = KINDS[caffes.type], KINDS.get(theirs.type, "a group")
        fits = ours == other or (ours == "a number" and other == "a whole number")
        if not fits:
            return f"is {other} in {self.name}, and cortado's layers read {ours}"
        if theirs.repeated and not caffes.repeated:
            return f"is a list in {self.name}, and cortado's layers read a single value"
        return ""

    def our_name(self, theirs: str) -> str:
        """The name of a message of the fork's in cortado."""
        return self.ours.get(theirs, theirs)

    def layer_class(self, schema: str) -> type[Message]:
        """Protobuf's class of the fork's layers, as the one of Caffe's that they stand for."""
        held = "layers" if schema == "V1LayerParameter" else "layer"
        message = self.own.descriptor("NetParameter").fields_by_name[held].message_type
        assert message is not None  # as the layout has found
        return self.own.message_class(message_name(message))

    @cached_property
    def layout(self) -> CaffemodelLayout:
        """Where the parts of a caffemodel are. CompileError if layers have no name, type or blobs there."""
        fields = self.own.descriptor("NetParameter").fields_by_name
        layers = {
            fields[name].number: self.layer_numbers(message, schema)
            for name, schema in (("layer", "LayerParameter"), ("layers", "V1LayerParameter"))
            if name in fields and (message := fields[name].message_type) is not None
        }
        if not layers or "name" not in fields:
            raise self.fault("its NetParameter has no name or no layers")
        return CaffemodelLayout(fields["name"].number, layers, self.blob_numbers())

    def layer_numbers(self, message: Descriptor, schema: str) -> LayerFieldNumbers:
        """The numbers in a layer's message, which stands for `schema`."""
        fields = message.fields_by_name
        inner = fields["layer"] if "layer" in fields and schema == "V1LayerParameter" else None
        if inner is None and (lacks := [name for name in ("name", "type", "blobs") if name not in fields]):
            raise self.fault(f"its {message.name} has no {lacks[0]}")
        numbers = {name: fields[name].number if name in fields else 0 for name in LAYER_FIELDS}
        enum = fields["type"].enum_type if "type" in fields else None
        types = {value.number: value.name for value in enum.values} if enum else {}
        held = inner.message_type if inner else None
        nested = (inner.number, self.layer_numbers(held, "V0LayerParameter")) if inner and held else None
        return LayerFieldNumbers(schema, **numbers, types=types, inner=nested)

    def blob_numbers(self) -> Mapping[int, int]:
        """The numbers in BlobProto, each as the one that cortado's reader knows."""
        try:
            fields = self.own.descriptor("BlobProto").fields_by_name
        except KeyError:
            raise self.fault("it has no BlobProto") from None
        known = BLOB_NUMBERS["length" in fields]
        return {fields[name].number: number for name, number in known.items() if name in fields}

    def fault(self, sentence: str) -> CompileError:
        return CompileError(f"{self.name}: {sentence}", advice=ADVICE)


def read_fork_schema(path: str | Path) -> ForkSchema:
    """The schema of a fork from its caffe.proto. CompileError if it is none, or contradicts itself."""
    parsed = read_proto(path)
    own = Schema(lambda: parsed)
    try:
        own.descriptor("NetParameter")
    except KeyError:
        raise CompileError(f"{path}: there is no message NetParameter in it", advice=ADVICE) from None
    except TypeError as e:
        why = str(e).partition("Couldn't build proto file into descriptor pool: ")[2] or str(e)
        raise CompileError(f"{path}: the file contradicts itself: {why}", advice=ADVICE) from None
    return ForkSchema(own, str(path))


def schema_for(proto: str | Path | None) -> Schema | ForkSchema:
    """Caffe's schema or, if a caffe.proto is given, that of a fork. Errors are those of `read_fork_schema`."""
    return CAFFE if proto is None else read_fork_schema(proto)


def layout_for(proto: str | Path | None) -> CaffemodelLayout | None:
    """The layout of a fork's caffemodels; None for Caffe's."""
    return None if proto is None else read_fork_schema(proto).layout


def pair_types(own: Schema) -> dict[str, str]:
    """The fork's message types, each with the one of cortado's that is in its place, or else of its name."""
    found = {name: name for name in ROOTS if name in own.messages}
    waiting = deque(found)
    while waiting:
        theirs = waiting.popleft()
        caffes = CAFFE.field_types(found[theirs])
        for name, inner in message_fields(own, theirs):
            if name in caffes and caffes[name].message and inner not in found:
                found[inner] = caffes[name].message
                waiting.append(inner)
    return {name: name for name in own.messages} | found


def message_fields(own: Schema, type: str) -> Iterator[tuple[str, str]]:
    """The fields of a message that hold messages, and their types."""
    for field in own.descriptor(type).fields:
        if field.message_type is not None:
            yield field.name, message_name(field.message_type)
