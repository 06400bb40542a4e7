"""Reads and writes Caffe weights (.caffemodel): V0, V1 and current layer messages, data as views of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError, Message

from ...compiler.errors import CompileError
from ...compiler.limits import MAX_NODES
from . import wire
from .blobs import Array, BadBlob, Blob, parse_blob
from .caffemodel_layout import CaffemodelLayout, LayerFieldNumbers, caffe_layout
from .caffemodel_writer import WrittenLayer, write
from .file_sniffing import not_caffemodel_error
from .mapping import MappedFile, map_file
from .schema import message_class

__all__ = ["Blob", "LayerBlobs", "Weights", "WrittenLayer", "parse", "read", "read_blob", "read_mean", "write"]

MAX_BLOBS = 1_000  # of a layer: those of Caffe have up to 9
COPY_AGAIN = "Download or copy the file again; a snapshot may also have been cut off when the disk was full."


LAST_COMMON_FIELD = 146  # up to this number all forks agree on the fields of LayerParameter


@dataclass(frozen=True, slots=True)
class LayerBlobs:
    """One layer of a caffemodel.

    `type` is spelled as in the file's generation: "Convolution"; V1 "CONVOLUTION" or, for an enum value that the schema
    lacks, its number; V0 "conv".
    """

    name: str
    type: str
    blobs: tuple[Blob, ...]
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    schema: str = "LayerParameter"  # the message type of `settings`
    settings: bytes = field(default=b"", repr=False)  # all other fields, serialized as in the file

    def message(self) -> Message:
        """The layer without its blobs, as a protobuf message.

        Forks use field numbers above 146 for different settings. If one of them does not parse with our schema, all
        fields above 146 are dropped; one that parses may still be another fork's, so prefer the settings of a
        prototxt. Raises CompileError if the settings are damaged.
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
    """A caffemodel: its layers in file order, those without blobs included. Names need not be unique."""

    net_name: str
    layers: tuple[LayerBlobs, ...]
    settings: bytes = field(default=b"", repr=False)  # the net's other fields, serialized as in the file


def read(path: str | Path, layout: CaffemodelLayout | None = None) -> Weights:
    """Read the weights of a file. The data are views of the memory-mapped file (copy on write), read when accessed.

    `layout` has the numbers of a fork's caffe.proto; without, they are Caffe's.
    Raises CompileError, with the byte offset, if the file is truncated, damaged or not a caffemodel.
    """
    with map_file(path) as file:
        return parse_mapped(file, str(path), layout)


def parse(
    data: bytes | bytearray | memoryview, name: str = "the caffemodel", layout: CaffemodelLayout | None = None
) -> Weights:
    """The weights in a copy of bytes in memory, as `read` reads a file; errors call them `name`."""
    return parse_mapped(MappedFile(None, memoryview(bytearray(data))), name, layout)


def parse_mapped(file: MappedFile, name: str, layout: CaffemodelLayout | None = None) -> Weights:
    if fault := not_caffemodel_error(bytes(file.data[:4096]), name):
        raise fault
    try:
        return parse_weights(file, name, layout or caffe_layout())
    except wire.Damaged as e:
        raise damaged_file_error(name, e) from None


def read_blob(path: str | Path) -> Blob:
    """Read the blob of a .binaryproto file, for example a mean image: (1, channels, height, width), float32.

    Raises CompileError, with the byte offset, if the file is damaged or holds no data.
    """
    try:
        with map_file(path) as file:
            result = parse_blob(file.data, 0, len(file.data))
    except wire.Damaged as e:
        raise damaged_file_error(path, e) from None
    except BadBlob as e:
        raise CompileError(f"{path}: byte 0: the blob {e}", advice=COPY_AGAIN) from None
    if result.is_missing:
        raise CompileError(f"{path}: byte 0: this file holds no data", advice="Is it a .binaryproto?")
    return result


def read_mean(path: str | Path) -> Array:
    """Read the mean of a .binaryproto file: a picture, f32 [C,H,W], or one number for each channel, f32 [C].

    Raises CompileError if the file is damaged, or its blob has other axes.
    """
    blob = read_blob(path)
    mean = np.asarray(blob.data, np.float32)
    if mean.ndim == 4 and len(mean) == 1:
        mean = mean[0]
    if mean.ndim not in (1, 3):
        raise CompileError(f"{path}: a mean is one picture [C,H,W], and this is {list(blob.shape)}")
    return mean


def damaged_file_error(path: str | Path, e: wire.Damaged) -> CompileError:
    """The error for a file whose bytes are not a protobuf message."""
    return CompileError(f"{path}: byte {e.offset}: {e.sentence}: the file is cut off or damaged", advice=COPY_AGAIN)


def parse_weights(mapped: MappedFile, file: str, layout: CaffemodelLayout) -> Weights:
    """Parse a mapped file. Raises wire.Damaged or CompileError."""
    data, name, layers, settings = mapped.data, "", list[LayerBlobs](), bytearray()
    for entry in wire.walk(data, 0, len(data)):
        if entry.number == 1 and entry.wire_type == wire.VARINT and layout.blobs is None:
            raise wrong_file_error(data, file)
        if entry.number == layout.name and entry.wire_type == wire.BYTES:
            name = decode_name(data, entry)
        elif entry.number in layout.layers and entry.wire_type == wire.BYTES:
            if len(layers) == MAX_NODES:
                raise too_many_error(file, entry.at, f"more than {MAX_NODES} layers")
            found = parse_layer(data, entry, layout.layers[entry.number], layout.blobs, file)
            layers.append(replace(found, blobs=tuple(mapped.map_large_blobs(found.blobs))))
            continue
        settings += data[entry.at : entry.stop]
    if not layers:
        raise CompileError(f"{file}: byte 0: this file has no layers", advice="Is it a .caffemodel? " + COPY_AGAIN)
    return Weights(name, tuple(layers), bytes(settings))


def too_many_error(file: str, at: int, sentence: str) -> CompileError:
    """The error for a file that has more of something than any net."""
    return CompileError(f"{file}: byte {at}: {sentence}: the file is no net, or damaged", advice=COPY_AGAIN)


def wrong_file_error(data: memoryview, file: str) -> CompileError:
    """The error for a mean image or a solver state: unlike a net's, their field 1 is a number, not a name."""
    if any(f.number == 5 for f in wire.walk(data, 0, len(data))):
        advice = "Give it as the mean of the preprocessing, and the .caffemodel as the weights."
        return CompileError(f"{file}: byte 0: this is a mean image (.binaryproto), not a caffemodel", advice=advice)
    advice = "It holds the momentum of a training run; the weights are in the .caffemodel of the same name."
    return CompileError(f"{file}: byte 0: this is a .solverstate, not a caffemodel", advice=advice)


def parse_layer(
    data: memoryview, entry: wire.WireField, layout: LayerFieldNumbers, numbers: Mapping[int, int] | None, file: str
) -> LayerBlobs:
    """Parse a current or V1 layer. A V0 layer is a V1 layer with the actual layer as an inner message in field 1.

    `numbers` are those of blobs, if they are a fork's.
    """
    name = type = ""
    names: dict[int, list[str]] = {layout.bottom: [], layout.top: []}
    blobs: list[Blob] = []
    settings = bytearray()
    for part in wire.walk(data, entry.start, entry.stop):
        if part.number == layout.blobs and part.wire_type == wire.BYTES:
            if len(blobs) == MAX_BLOBS:
                raise too_many_error(file, part.at, f'layer "{name}" has more than {MAX_BLOBS} blobs')
            blobs.append(parse_layer_blob(data, part, name, len(blobs), numbers, file))
            continue
        if layout.inner and part.number == layout.inner[0] and part.wire_type == wire.BYTES:
            inner = parse_layer(data, part, layout.inner[1], numbers, file)
            name, type = inner.name, inner.type
            blobs.extend(inner.blobs)
            settings += wire.encode_field(part.number, inner.settings)
            continue
        if part.number == layout.name and part.wire_type == wire.BYTES:
            name = decode_name(data, part)
        elif part.number == layout.type:
            number = part.value
            is_named = part.wire_type == wire.BYTES
            type = decode_name(data, part) if is_named else layout.types.get(number, str(number))
        elif part.number in names and part.wire_type == wire.BYTES:
            names[part.number].append(decode_name(data, part))
        settings += data[part.at : part.stop]
    bottoms, tops = tuple(names[layout.bottom]), tuple(names[layout.top])
    return LayerBlobs(name, type, tuple(blobs), bottoms, tops, layout.message, bytes(settings))


def parse_layer_blob(
    data: memoryview, part: wire.WireField, name: str, index: int, numbers: Mapping[int, int] | None, file: str
) -> Blob:
    """Parse a blob of a layer. CompileError if it is invalid."""
    try:
        return parse_blob(data, part.start, part.stop, numbers)
    except BadBlob as e:
        sentence = f'{file}: byte {part.at}: layer "{name}": blob {index} {e}'
        raise CompileError(
            sentence, advice="Was this file written by another program than Caffe, or changed? " + COPY_AGAIN
        ) from None


def decode_name(data: memoryview, field: wire.WireField) -> str:
    """Decode a name. Caffe does not check the encoding, so a byte that is not UTF-8 becomes an escape."""
    return bytes(data[field.start : field.stop]).decode("utf-8", "backslashreplace")
