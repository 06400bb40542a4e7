"""Walks protobuf's binary format in place: where each field lies, without reading what is in it; and writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, DOUBLE, BYTES, FLOAT = (
    0,
    1,
    2,
    5,
)  # what follows a field's tag: a number, 8 bytes, a length and so many bytes, 4 bytes
SIZES = {DOUBLE: 8, FLOAT: 4}


class Damaged(Exception):
    """These bytes are no protobuf message: at byte `offset`, `sentence`."""

    def __init__(self, offset: int, sentence: str) -> None:
        super().__init__(f"byte {offset}: {sentence}")
        self.offset, self.sentence = offset, sentence


@dataclass(frozen=True, slots=True)
class WireField:
    """One field: its number and form, its tag at `at`, its content in `start:stop`, and the `value` of a VARINT."""

    number: int
    wire_type: int
    at: int
    start: int
    stop: int
    value: int = 0


def walk(data: memoryview, start: int, stop: int) -> Iterator[WireField]:
    """The fields of the message in `data[start:stop]`, in order; only tags and lengths are touched."""
    at = start
    while at < stop:
        tag, begin = decode_varint(data, at, stop)
        number, form = tag >> 3, tag & 7
        value = 0
        if form == VARINT:
            value, end = decode_varint(data, begin, stop)
        elif form == BYTES:
            length, begin = decode_varint(data, begin, stop)
            end = begin + length
        elif form in SIZES:
            end = begin + SIZES[form]
        else:
            raise Damaged(at, f"no field has the form {form}")
        if not 0 < number < 1 << 29:
            raise Damaged(at, f"no field has the number {number}")
        if end > stop:
            raise Damaged(at, f"a field of {end - begin} bytes does not fit: {stop - begin} are left")
        yield WireField(number, form, at, begin, end, value)
        at = end


def decode_varint(data: memoryview, at: int, stop: int) -> tuple[int, int]:
    """The number written from `at` on, seven bits a byte, lowest first; and the offset behind it."""
    value = 0
    for i in range(10):
        if at + i >= stop:
            raise Damaged(at, "a number is cut off")
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
    raise Damaged(at, "a number is longer than ten bytes")


def to_int64(value: int) -> int:
    """A varint as int64: negative numbers are written as their 64-bit complement."""
    return value - (1 << 64) if value >> 63 else value


def encode_varint(value: int) -> bytes:
    """A varint."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def encode_header(field: int, length: int) -> bytes:
    """What stands before a field of so many bytes: its tag and the length."""
    return encode_varint(field << 3 | BYTES) + encode_varint(length)


def encode_field(field: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return encode_header(field, len(content)) + content
