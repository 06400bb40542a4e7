"""Writes a .caffemodel one blob at a time, so that a large net is not serialized in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...compiler.errors import CompileError
from ...runtime.output import OutputStream, open_output
from . import wire
from .blobs import Blob

Numbers = Blob | npt.NDArray[np.generic]
MAX_LAYER = 2**31 - 1  # bytes: protobuf's limit for a message


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A layer to be written; its blobs are arrays of any float dtype, in Caffe's order and shapes."""

    name: str
    type: str
    blobs: Sequence[Numbers]
    bottoms: Sequence[str] = ()
    tops: Sequence[str] = ()


class LayerToWrite(Protocol):
    """What `write` needs of a layer: satisfied by `WrittenLayer` and by `caffemodel.LayerBlobs`."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def blobs(self) -> Sequence[Numbers]: ...
    @property
    def bottoms(self) -> Sequence[str]: ...
    @property
    def tops(self) -> Sequence[str]: ...


def write(
    path: str | Path, net_name: str, layers: Iterable[LayerToWrite], settings: Mapping[str, bytes] | None = None
) -> None:
    """Write a NetParameter in the current format, data as packed float32, replacing `path` atomically when complete.

    Arguments, and what is written, are those of `write_net`. Raises CompileError if a layer exceeds protobuf's limit of
    2 GiB, OutputError if the file cannot be written.
    """
    with open_output(path) as file:
        write_net(file, net_name, layers, settings)


def write_net(
    file: OutputStream, net_name: str, layers: Iterable[LayerToWrite], settings: Mapping[str, bytes] | None = None
) -> None:
    """Write a NetParameter to an open file. CompileError if a layer exceeds protobuf's limit of 2 GiB.

    Names, types, bottoms, tops and blobs are written, and the serialized `settings` of the layers that have some here,
    by name: Caffe and OpenCV take those from the prototxt.
    """
    file.write(wire.encode_field(1, net_name.encode()))
    for layer in layers:
        write_layer(file, layer, (settings or {}).get(layer.name, b""))


def write_layer(file: OutputStream, layer: LayerToWrite, settings: bytes = b"") -> None:
    """Append one layer to the file. CompileError if it exceeds MAX_LAYER."""
    named = [(1, layer.name), (2, layer.type), *((3, b) for b in layer.bottoms), *((4, t) for t in layer.tops)]
    start = b"".join(wire.encode_field(number, name.encode()) for number, name in named) + settings
    arrays = [b.data if isinstance(b, Blob) else np.asarray(b) for b in layer.blobs]
    heads = [encode_blob_header(a.shape, a.size) for a in arrays]
    length = len(start) + sum(len(h) + 4 * a.size for h, a in zip(heads, arrays, strict=True))
    if length > MAX_LAYER:
        raise CompileError(
            f'layer "{layer.name}" has {length} bytes of parameters; a caffemodel holds at most {MAX_LAYER} a layer',
            advice="Split the layer, or keep the weights in the compiled artifact.",
        )
    file.write(wire.encode_header(100, length) + start)
    for before, array in zip(heads, arrays, strict=True):
        file.write(before)
        file.write(np.ascontiguousarray(array, "<f4").reshape(-1).view("u1").data)


def encode_blob_header(shape: tuple[int, ...], count: int) -> bytes:
    """The bytes of a layer's field `blobs` up to its data: tag, length, shape, and the header of the packed floats."""
    described = wire.encode_field(
        7, wire.encode_field(1, b"".join(map(wire.encode_varint, shape)))
    ) + wire.encode_header(5, 4 * count)
    return wire.encode_header(7, len(described) + 4 * count) + described
