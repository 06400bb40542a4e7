"""Upgrades caffemodels to Caffe's current format, as its tool upgrade_net_proto_binary does; blobs stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from ...compiler.errors import CompileError, raise_all
from ...runtime.output import OutputStream
from ..files import caffemodel, hdf5, prototxt, wire
from ..files.caffemodel import COPY_AGAIN
from ..files.caffemodel_writer import MAX_LAYER
from ..files.mapping import map_file
from ..files.protobuf import has_own_numbers, to_protobuf
from ..files.schema import message_class
from .from_caffemodel import find_unknown_fields
from .upgrade_file import INPUT_FIELDS, STATISTICS, upgrade_inputs, upgrade_message

NET_FIELDS = {"input": 3, "input_dim": 4, "input_shape": 8, "layers": 2, "layer": 100}  # by caffe.proto
TYPE, PARAM, BLOBS = 2, 6, 7  # of LayerParameter
V1_BLOBS, V0_LAYER, V0_BLOBS = 6, 1, 50  # of V1LayerParameter, and of the layer of 2013 in it


@dataclass(frozen=True)
class UpgradedBinary:
    """A caffemodel in the current format: the serialized fields in front of the layers, and each layer in its parts.

    Is it `changed`, and what Caffe drops of the old one.
    """

    head: bytes
    layers: tuple[tuple[memoryview, ...], ...]
    changed: bool
    dropped: tuple[CompileError, ...]

    def write(self, file: OutputStream) -> None:
        """Write the file. CompileError if a layer exceeds protobuf's limit of 2 GiB."""
        file.write(self.head)
        for parts in self.layers:
            if (length := sum(map(len, parts))) > MAX_LAYER:
                raise CompileError(f"a layer has {length} bytes, and a caffemodel holds at most {MAX_LAYER} a layer")
            file.write(wire.encode_header(NET_FIELDS["layer"], length))
            for part in parts:
                file.write(part)


def upgrade_binary(path: str | Path) -> UpgradedBinary:
    """A caffemodel of any generation in the current format; its blobs are the same bytes.

    CompileError if it is damaged or none, where Caffe aborts, and for a layer of an older format with fields of a fork:
    no number of the current format is known for those.
    """
    if hdf5.is_hdf5(path):
        raise CompileError(f"{path}: HDF5 files hold weights alone, and have but one format: there is nothing to do")
    weights = caffemodel.read(path)
    if any(layer.schema == "V1LayerParameter" for layer in weights.layers):
        return upgrade_old_binary(path, weights)
    with map_file(path) as mapped:
        return upgrade_current_binary(path, mapped.data, weights)


def upgrade_old_binary(path: str | Path, weights: caffemodel.Weights) -> UpgradedBinary:
    """The file by way of its settings as text, which a padding layer of 2013 needs as a whole."""
    whole: Any = parse_part("NetParameter", weights.settings, f"{path}: the net's settings")
    errors = list(find_unknown_fields(whole, "the net", path))
    for layer in weights.layers:
        label = f'{path}: layer "{layer.name}"'
        if layer.schema != "V1LayerParameter":
            raise CompileError(f"{label} is of the current format, and others are older: Caffe refuses this, too")
        part = parse_part(layer.schema, layer.settings, f"{label}: its settings")
        errors += find_unknown_fields(part, f'layer "{layer.name}" ({layer.type})', path)
        whole.layers.append(part)
    raise_all(errors)
    text, dropped = prototxt.parse(text_format.MessageToString(whole), f"{path} as text"), list[CompileError]()
    number = {layer.loc: i for i, layer in enumerate(text["layers"])}
    made = upgrade_message(text, dropped)
    with map_file(path) as mapped:
        blobs = [raw_blobs(mapped.data, entry) for entry in layer_entries(mapped.data, NET_FIELDS["layers"])]
    layers = list[tuple[memoryview, ...]]()
    for message in made["layer"]:
        if has_own_numbers(message):
            sentence = f'layer "{message["name"]}" ({message["type"]}) has settings of a fork'
            raise CompileError(f"{path}: {sentence}, which have no number in the current format")
        settings = memoryview(to_protobuf(message).SerializeToString())
        layers.append((settings, *(blobs[number[message.loc]] if message.loc in number else ())))
    head = to_protobuf(made, ("layer",)).SerializeToString()
    return UpgradedBinary(head, tuple(layers), True, tuple(dropped))


def upgrade_current_binary(path: str | Path, data: memoryview, weights: caffemodel.Weights) -> UpgradedBinary:
    """The file with its bytes as they are, but for inputs at the top and the rates of BatchNorm."""
    whole = parse_part("NetParameter", weights.settings, f"{path}: the net's settings")
    written = prototxt.parse(text_format.MessageToString(whole) or 'name: ""', f"{path} as text")
    made, kept, layers = upgrade_inputs(written), bytearray(), list[tuple[memoryview, ...]]()
    changed = made is not written
    moved = {NET_FIELDS[name] for name in INPUT_FIELDS} if changed else set[int]()
    layers += [(memoryview(to_protobuf(layer).SerializeToString()),) for layer in made["layer"]]
    for entry in wire.walk(data, 0, len(data)):
        if entry.number == NET_FIELDS["layer"]:
            part = data[entry.start : entry.stop]
            upgraded = upgrade_raw_statistics(part, f"{path}: a layer")
            changed |= upgraded is not part
            layers.append((upgraded,))
        elif entry.number not in moved:
            kept += data[entry.at : entry.stop]
    return UpgradedBinary(bytes(kept), tuple(layers), changed, ())


def upgrade_raw_statistics(layer: memoryview, label: str) -> memoryview:
    """The bytes of a layer, upgraded as by `upgrade_statistics`; the same object if there is nothing to do."""
    fields = list(wire.walk(layer, 0, len(layer)))
    if not any(f.number == TYPE and bytes(layer[f.start : f.stop]) == b"BatchNorm" for f in fields):
        return layer
    given = [bytes(layer[f.start : f.stop]) for f in fields if f.number == PARAM]
    specs = [parse_part("ParamSpec", data, f"{label}: its `param`") for data in given]
    if len(specs) != STATISTICS or not any(spec.lr_mult or spec.decay_mult for spec in specs):
        return layer
    made = bytearray()
    for spec in specs:
        spec.lr_mult = spec.decay_mult = 0.0
        made += wire.encode_field(PARAM, spec.SerializeToString())
    for field in fields:
        if field.number != PARAM:
            made += layer[field.at : field.stop]
    return memoryview(bytes(made))


def parse_part(type: str, data: bytes, label: str) -> Any:
    """A message from its bytes. CompileError, begun with `label`, if they are damaged."""
    made = message_class(type)()
    try:
        made.MergeFromString(data)
    except DecodeError:
        raise CompileError(f"{label} are damaged", advice=COPY_AGAIN) from None
    return made


def layer_entries(data: memoryview, number: int) -> list[wire.WireField]:
    return [entry for entry in wire.walk(data, 0, len(data)) if entry.number == number]


def raw_blobs(data: memoryview, layer: wire.WireField) -> tuple[memoryview, ...]:
    """The blobs of a V1 layer, or of the V0 layer in it, as fields of a layer of the current format."""
    found = list[memoryview]()
    for part in wire.walk(data, layer.start, layer.stop):
        inner = (
            wire.walk(data, part.start, part.stop) if part.number == V0_LAYER and part.wire_type == wire.BYTES else ()
        )
        blobs = [part] if part.number == V1_BLOBS else [p for p in inner if p.number == V0_BLOBS]
        for blob in blobs:
            found += [
                memoryview(wire.encode_header(BLOBS, blob.stop - blob.start)),
                data[blob.start : blob.stop],
            ]
    return tuple(found)
