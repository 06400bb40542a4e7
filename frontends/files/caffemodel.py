"""Reads and writes the weights of Caffe nets (.caffemodel), of all three generations, without copying the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from google.protobuf.message import DecodeError, Message

from ...compiler.errors import CompileError
from . import wire
from .blobs import BadBlob, Blob, parse_blob
from .caffemodel_writer import WrittenLayer, write
from .file_sniffing import not_caffemodel_error
from .mapping import MappedFile, map_file
from .schema import field_types, message_class

__all__ = ["Blob", "LayerBlobs", "Weights", "WrittenLayer", "read", "read_blob", "write"]

COPY_AGAIN = "Download or copy the file again; a snapshot may also have been cut off when the disk was full."


@dataclass(frozen=True, slots=True)
class LayerFieldNumbers:
    """The field numbers of one generation's layer message."""

    message: str
    name: int
    type: int
    bottom: int
    top: int
    blobs: int


LAYER_FIELDS = {
    100: LayerFieldNumbers("LayerParameter", name=1, type=2, bottom=3, top=4, blobs=7),
    2: LayerFieldNumbers("V1LayerParameter", name=4, type=5, bottom=2, top=3, blobs=6),
}
V0_FIELDS = LayerFieldNumbers(
    "V0LayerParameter", name=1, type=2, bottom=0, top=0, blobs=50
)  # inside a V1 layer, as its field 1
LAST_COMMON_FIELD = 146  # up to this number all forks agree what a field of LayerParameter is


@dataclass(frozen=True, slots=True)
class LayerBlobs:
    """What a caffemodel says about one layer.

    `type` is as its generation spells it: "Convolution"; V1 "CONVOLUTION", or a fork's unknown number; V0 "conv".
    """

    name: str
    type: str
    blobs: tuple[Blob, ...]
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    schema: str = "LayerParameter"  # the message that `settings` belongs to
    settings: bytes = field(default=b"", repr=False)  # all other fields, as they stand in the file

    def message(self) -> Message:
        """The layer without its blobs, as protobuf reads it.

        Forks gave the numbers above 146 to different things. If one of them cannot be read by our schema, all of those
        are left out; one that can may still be another fork's: where there is a prototxt, take settings from there.
        CompileError if they are damaged.
        """
        data = memoryview(self.settings)
        agreed = (data[f.at : f.stop] for f in wire.walk(data, 0, len(data)) if f.number <= LAST_COMMON_FIELD)
        for settings in (self.settings, b"".join(agreed)):
            message = message_class(self.schema)()
            try:
                message.MergeFromString(settings)
            except DecodeError:
                continue
            return message
        raise CompileError(f'layer "{self.name}": its settings in the caffemodel are damaged', advice=COPY_AGAIN)


@dataclass(frozen=True, slots=True)
class Weights:
    """The layers of a caffemodel, in its order; names need not be unique, and layers without blobs stand there too."""

    net_name: str
    layers: tuple[LayerBlobs, ...]
    settings: bytes = field(default=b"", repr=False)  # the net's other fields, as they stand in the file


def read(path: str | Path) -> Weights:
    """The weights of a file. Its numbers are not read yet: they are views of the mapped file, to be written to freely.

    CompileError, with the byte, for a file that is cut off, damaged, or something else than a caffemodel.
    """
    with map_file(path) as file:
        if fault := not_caffemodel_error(bytes(file.data[:4096]), str(path)):
            raise fault
        try:
            return parse_weights(file, str(path))
        except wire.Damaged as e:
            raise damaged_file_error(path, e) from None


def read_blob(path: str | Path) -> Blob:
    """The one blob of a .binaryproto file, as Caffe's mean images are: (1, channels, height, width), float32."""
    try:
        with map_file(path) as file:
            result = parse_blob(file.data, 0, len(file.data))
    except wire.Damaged as e:
        raise damaged_file_error(path, e) from None
    except BadBlob as e:
        raise CompileError(f"{path}: byte 0: the blob {e}", advice=COPY_AGAIN) from None
    if result.is_missing:
        raise CompileError(f"{path}: byte 0: no numbers are in this file", advice="Is it a .binaryproto?")
    return result


def damaged_file_error(path: str | Path, e: wire.Damaged) -> CompileError:
    return CompileError(f"{path}: byte {e.offset}: {e.sentence}: the file is cut off or damaged", advice=COPY_AGAIN)


def parse_weights(mapped: MappedFile, file: str) -> Weights:
    data, name, layers, settings = mapped.data, "", list[LayerBlobs](), bytearray()
    for entry in wire.walk(data, 0, len(data)):
        if entry.number == 1 and entry.wire_type == wire.VARINT:
            raise wrong_file_error(data, file)
        if entry.number == 1 and entry.wire_type == wire.BYTES:
            name = decode_name(data, entry)
        elif entry.number in LAYER_FIELDS and entry.wire_type == wire.BYTES:
            found = parse_layer(data, entry, LAYER_FIELDS[entry.number], file)
            layers.append(replace(found, blobs=tuple(mapped.map_large_blobs(found.blobs))))
            continue
        settings += data[entry.at : entry.stop]
    if not layers:
        raise CompileError(f"{file}: byte 0: no layer is in this file", advice="Is it a .caffemodel? " + COPY_AGAIN)
    return Weights(name, tuple(layers), bytes(settings))


def wrong_file_error(data: memoryview, file: str) -> CompileError:
    """Caffe's other binary files begin with a number, not with a net's name: a mean image, or the state of a solver."""
    if any(f.number == 5 for f in wire.walk(data, 0, len(data))):
        advice = "Give it as the mean of the preprocessing, and the .caffemodel as the weights."
        return CompileError(f"{file}: byte 0: this is a mean image (.binaryproto), not a caffemodel", advice=advice)
    advice = "It holds the momentum of a training run; the weights are in the .caffemodel of the same name."
    return CompileError(f"{file}: byte 0: this is a .solverstate, not a caffemodel", advice=advice)


def parse_layer(data: memoryview, entry: wire.WireField, layout: LayerFieldNumbers, file: str) -> LayerBlobs:
    """One layer of the current or the V1 generation; a V0 layer is a V1 layer that holds little but another message."""
    name = type = ""
    names: dict[int, list[str]] = {layout.bottom: [], layout.top: []}
    blobs: list[Blob] = []
    settings = bytearray()
    for part in wire.walk(data, entry.start, entry.stop):
        if part.number == layout.blobs and part.wire_type == wire.BYTES:
            blobs.append(parse_layer_blob(data, part, name, len(blobs), file))
            continue
        if part.number == 1 and layout.message == "V1LayerParameter" and part.wire_type == wire.BYTES:
            inner = parse_layer(data, part, V0_FIELDS, file)
            name, type = inner.name, inner.type
            blobs.extend(inner.blobs)
            settings += wire.encode_field(1, inner.settings)
            continue
        if part.number == layout.name and part.wire_type == wire.BYTES:
            name = decode_name(data, part)
        elif part.number == layout.type:
            type = decode_name(data, part) if part.wire_type == wire.BYTES else v1_type_name(part.value)
        elif part.number in names and part.wire_type == wire.BYTES:
            names[part.number].append(decode_name(data, part))
        settings += data[part.at : part.stop]
    bottoms, tops = tuple(names[layout.bottom]), tuple(names[layout.top])
    return LayerBlobs(name, type, tuple(blobs), bottoms, tops, layout.message, bytes(settings))


def parse_layer_blob(data: memoryview, part: wire.WireField, name: str, index: int, file: str) -> Blob:
    try:
        return parse_blob(data, part.start, part.stop)
    except BadBlob as e:
        sentence = f'{file}: byte {part.at}: layer "{name}": blob {index} {e}'
        raise CompileError(
            sentence, advice="Was this file written by another program than Caffe, or changed? " + COPY_AGAIN
        ) from None


def v1_type_name(number: int) -> str:
    """The name of a V1 layer's type; a number that no schema knows stays a number."""
    known = {n: name for name, n in field_types("V1LayerParameter")["type"].numbers.items()}
    return known.get(number, str(number))


def decode_name(data: memoryview, field: wire.WireField) -> str:
    """A name. Caffe never checked its encoding: a byte that is not UTF-8 is shown as an escape."""
    return bytes(data[field.start : field.stop]).decode("utf-8", "backslashreplace")
