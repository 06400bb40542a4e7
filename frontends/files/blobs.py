"""Parses BlobProto messages of Caffe files: a shape, and the data as views of the file, in any of five encodings."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from ...compiler.limits import MAX_AXES, MAX_ELEMENTS
from . import wire

Array = npt.NDArray[np.generic]

MAX_PIECES = 10_000  # fields of one blob: Caffe writes its data as one, other programs as a few
RAW_DTYPES = {
    0: "<f8",
    1: "<f4",
    2: "<f2",
}  # dtypes by `enum Type` of caffe.proto (NVCaffe), without the integers: no layer has integer parameters


class BadBlob(Exception):
    """A blob is invalid. The message is a predicate that follows the blob's name: "has the impossible shape ..."."""


@dataclass(frozen=True, eq=False)
class Blob:
    """One parameter of a layer.

    `legacy`: the file gives num, channels, height and width; Caffe takes such a shape to equal one of lower rank if
    the extra leading dimensions are 1 (Blob::ShapeEquals). `arrays`: the data in order, as 1-D views of the file, of
    dtype float32, float16 or float64. No array at all means that the blob has no data, as where a layer shares the
    parameters of another.
    """

    shape: tuple[int, ...]
    legacy: bool
    arrays: tuple[Array, ...]

    @functools.cached_property
    def data(self) -> Array:
        """The data in `shape`, or an empty float32 vector if the blob has none; a view of the file if contiguous there.

        A view can be written to without changing the file (copy on write). It may be unaligned.
        """
        if not self.arrays:
            return np.empty(0, "<f4")
        flat = self.arrays[0] if len(self.arrays) == 1 else np.concatenate(self.arrays)
        return flat.reshape(self.shape)

    @property
    def is_missing(self) -> bool:
        """True if the blob has no data."""
        return not self.arrays

    def __repr__(self) -> str:
        return f"Blob({self.shape}{', legacy' * self.legacy}{', missing' * self.is_missing})"


def parse_blob(data: memoryview, start: int, stop: int, numbers: Mapping[int, int] | None = None) -> Blob:
    """Parse the BlobProto in `data[start:stop]`; `numbers` has Caffe's for each of a fork's, if they are a fork's.

    Raises wire.Damaged if the bytes are no message, BadBlob if shape or data are invalid or do not fit each other.
    """
    legacy: dict[int, int] = {}  # num, channels, height, width, by field number
    shape: list[int] = []
    floats: list[Array] = []
    doubles: list[Array] = []
    diffs: list[Array] = []
    raw: wire.WireField | None = None
    raw_type = 1
    for field in read_fields(data, start, stop):
        match field.number if numbers is None else numbers.get(field.number, 0), field.wire_type:
            case (1 | 2 | 3 | 4 | 5) as axis, wire.VARINT:
                legacy[axis] = wire.to_int64(field.value)
            case 7, wire.BYTES:
                shape.extend(islice(read_dims(data, field), MAX_AXES + 1))
            case 5, _:
                floats.append(view_numbers(data, field, "<f4"))
            case 6, wire.BYTES | wire.FLOAT:
                diffs.append(view_numbers(data, field, "<f4"))
            case 8, _:
                doubles.append(view_numbers(data, field, "<f8"))
            case 10, wire.VARINT:
                raw_type = field.value
            case 12, wire.BYTES:
                raw = field
    if raw is not None:
        if raw_type not in RAW_DTYPES:
            raise BadBlob("holds raw integers, which are no layer's parameters")
        floats.append(view_numbers(data, raw, RAW_DTYPES[raw_type]))
    if 5 in legacy:  # C3D: num, channels, length, height, width as fields 1 to 5, and the data as field 6
        floats = diffs
    axes = (1, 2, 3, 4, 5) if 5 in legacy else (1, 2, 3, 4)
    dimensions = tuple(legacy.get(i, 0) for i in axes) if legacy else tuple(shape)
    return check_blob(Blob(dimensions, bool(legacy), tuple(doubles or floats)))


def check_blob(blob: Blob) -> Blob:
    """Return the blob; raise BadBlob if its shape is impossible or does not match the count of its data."""
    shown = " x ".join(map(str, blob.shape)) or "()"
    if (
        len(blob.shape) > MAX_AXES
        or min(blob.shape, default=0) < 0
        or math.prod(d or 1 for d in blob.shape) > MAX_ELEMENTS
    ):
        raise BadBlob(f"has the impossible shape {shown[:80]}")
    count = sum(map(len, blob.arrays))
    if blob.arrays and count != math.prod(blob.shape):
        raise BadBlob(f"has {count} elements for the shape {shown}")
    return blob


def read_fields(data: memoryview, start: int, stop: int) -> Iterator[wire.WireField]:
    """Yield the fields of a BlobProto; a run of unpacked numbers, each with its tag, is one field (FLOAT or DOUBLE)."""
    at, count = start, 0
    while at < stop:
        if (count := count + 1) > MAX_PIECES:
            raise BadBlob(f"consists of more than {MAX_PIECES} pieces")
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
    """The structured dtype of an unpacked number: its one-byte tag, then the value."""
    return np.dtype([("tag", "u1"), ("number", "<f4" if form == wire.FLOAT else "<f8")])


def view_numbers(data: memoryview, field: wire.WireField, type: str) -> Array:
    """A 1-D view of a field's numbers, of dtype `type` if packed; unpacked ones are strided over their tags."""
    size = field.stop - field.start
    if field.wire_type in wire.SIZES:
        dtype = tagged_dtype(field.wire_type)
        result: Array = np.frombuffer(data, dtype, size // dtype.itemsize, field.start)["number"]
        return result
    if field.wire_type != wire.BYTES or size % np.dtype(type).itemsize:
        raise BadBlob(f"has {size} bytes of data, which is not a whole number of elements")
    return np.frombuffer(data, type, size // np.dtype(type).itemsize, field.start)


def read_dims(data: memoryview, field: wire.WireField) -> Iterator[int]:
    """Yield the dimensions of a BlobShape, packed or not."""
    for dim in wire.walk(data, field.start, field.stop):
        if dim.number == 1 and dim.wire_type == wire.VARINT:
            yield wire.to_int64(dim.value)
        elif dim.number == 1 and dim.wire_type == wire.BYTES:
            at = dim.start
            while at < dim.stop:
                value, at = wire.decode_varint(data, at, dim.stop)
                yield wire.to_int64(value)
