"""A blob of a Caffe file: its shape, and its numbers as views of the file, whichever of five ways they were written."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import wire

Array = npt.NDArray[np.generic]

MAX_AXES, MAX_COUNT = 32, 2**48  # Caffe's own limit of axes; a count that fits no memory
RAW_DTYPES = {
    0: "<f8",
    1: "<f4",
    2: "<f2",
}  # `enum Type` of caffe.proto, but for the integers: no layer has integer parameters


class BadBlob(Exception):
    """What is wrong with a blob, in a sentence that goes on from its name."""


@dataclass(frozen=True, eq=False)
class Blob:
    """One parameter of a layer.

    `legacy`: the file gives num, channels, height and width; Caffe takes such a shape to equal one with fewer axes if
    the leading ones are 1. `parts` are its numbers, in order: float32, float16 or float64 views of the file. No part at
    all means no data, as where a layer shares the parameters of another.
    """

    shape: tuple[int, ...]
    legacy: bool
    arrays: tuple[Array, ...]

    @functools.cached_property
    def data(self) -> Array:
        """The numbers in `shape` (where there are none, an empty vector): a view of the file if they lie in one piece.

        Such a view can be written to without changing the file. It may be unaligned: numbers lie at any byte.
        """
        if not self.arrays:
            return np.empty(0, "<f4")
        flat = self.arrays[0] if len(self.arrays) == 1 else np.concatenate(self.arrays)
        return flat.reshape(self.shape)

    @property
    def is_missing(self) -> bool:
        return not self.arrays

    def __repr__(self) -> str:
        return f"Blob({self.shape}{', legacy' * self.legacy}{', missing' * self.is_missing})"


def parse_blob(data: memoryview, start: int, stop: int) -> Blob:
    """The BlobProto in `data[start:stop]`. BadBlob or wire.Damaged if it is none, or has no number for each element."""
    old: dict[int, int] = {}  # num, channels, height, width, by field number
    shape: list[int] = []
    floats: list[Array] = []
    doubles: list[Array] = []
    diffs: list[Array] = []
    raw: wire.WireField | None = None
    raw_type = 1
    for field in read_fields(data, start, stop):
        match field.number, field.wire_type:
            case (1 | 2 | 3 | 4 | 5) as axis, wire.VARINT:
                old[axis] = wire.to_int64(field.value)
            case 7, wire.BYTES:
                shape.extend(read_dims(data, field))
            case 5, _:
                floats.append(view_numbers(data, field, "<f4"))
            case 6, wire.BYTES:
                diffs.append(view_numbers(data, field, "<f4"))
            case 8, _:
                doubles.append(view_numbers(data, field, "<f8"))
            case 10, wire.VARINT:
                raw_type = field.value
            case 12, wire.BYTES:
                raw = field
    if raw is not None:
        if raw_type not in RAW_DTYPES:
            raise BadBlob("holds raw integers, which no layer's parameters are")
        floats.append(view_numbers(data, raw, RAW_DTYPES[raw_type]))
    if 5 in old:  # C3D: num, channels, length, height, width, and then the data
        floats = diffs
    dimensions = tuple(old.get(i, 0) for i in ((1, 2, 3, 4, 5) if 5 in old else (1, 2, 3, 4))) if old else tuple(shape)
    return check_blob(Blob(dimensions, bool(old), tuple(doubles or floats)))


def check_blob(blob: Blob) -> Blob:
    """The blob, if its shape is one, and has as many elements as there are numbers."""
    shown = " x ".join(map(str, blob.shape)) or "()"
    if (
        len(blob.shape) > MAX_AXES
        or min(blob.shape, default=0) < 0
        or math.prod(d or 1 for d in blob.shape) > MAX_COUNT
    ):
        raise BadBlob(f"has the impossible shape {shown[:80]}")
    count = sum(map(len, blob.arrays))
    if blob.arrays and count != math.prod(blob.shape):
        raise BadBlob(f"has {count} numbers for the shape {shown}")
    return blob


def read_fields(data: memoryview, start: int, stop: int) -> Iterator[wire.WireField]:
    """The fields of a BlobProto; numbers written one by one, each with a tag, come as one field (FLOAT or DOUBLE)."""
    at = start
    while at < stop:
        field = next(wire.walk(data, at, stop))
        at = field.stop
        if field.wire_type in wire.SIZES and field.start == field.at + 1:
            records = np.frombuffer(
                data, tagged_dtype(field.wire_type), (stop - field.at) // (wire.SIZES[field.wire_type] + 1), field.at
            )
            other = np.flatnonzero(records["tag"] != data[field.at])
            at = field.at + records.itemsize * (int(other[0]) if len(other) else len(records))
            field = wire.WireField(field.number, field.wire_type, field.at, field.at, at)
        yield field


def tagged_dtype(form: int) -> np.dtype[np.void]:
    """A number with its one-byte tag before it."""
    return np.dtype([("tag", "u1"), ("number", "<f4" if form == wire.FLOAT else "<f8")])


def view_numbers(data: memoryview, field: wire.WireField, type: str) -> Array:
    """The numbers of a field as a vector: a view, but strided where each has a tag before it."""
    size = field.stop - field.start
    if field.wire_type in wire.SIZES:
        dtype = tagged_dtype(field.wire_type)
        result: Array = np.frombuffer(data, dtype, size // dtype.itemsize, field.start)["number"]
        return result
    if field.wire_type != wire.BYTES or size % np.dtype(type).itemsize:
        raise BadBlob(f"has {size} bytes of numbers, which is no whole count of them")
    return np.frombuffer(data, type, size // np.dtype(type).itemsize, field.start)


def read_dims(data: memoryview, field: wire.WireField) -> Iterator[int]:
    """The axes of a BlobShape, written packed or one by one."""
    for dim in wire.walk(data, field.start, field.stop):
        if dim.number == 1 and dim.wire_type == wire.VARINT:
            yield wire.to_int64(dim.value)
        elif dim.number == 1 and dim.wire_type == wire.BYTES:
            at = dim.start
            while at < dim.stop:
                value, at = wire.decode_varint(data, at, dim.stop)
                yield wire.to_int64(value)
