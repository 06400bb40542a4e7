"""Protobuf's wire format: finds the fields of a message without reading their content, and encodes fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, DOUBLE, BYTES, FLOAT = (
    0,
    1,
    2,
    5,
)  # wire types, after a field's tag: a varint, 8 bytes, a length and so many bytes, 4 bytes
SIZES = {DOUBLE: 8, FLOAT: 4}


class Damaged(Exception):
    """The bytes are not a protobuf message; `sentence` describes the error at byte `offset`."""

    def __init__(self, offset: int, sentence: str) -> None:
        super().__init__(f"byte {offset}: {sentence}")
        self.offset, self.sentence = offset, sentence


@dataclass(frozen=True, slots=True)
class WireField:
    """One field: number and wire type, byte offsets of its tag (`at`) and content (`start:stop`), value of a VARINT."""

    number: int
    wire_type: int
    at: int
    start: int
    stop: int
    value: int = 0


def walk(data: memoryview, start: int, stop: int) -> Iterator[WireField]:
    """Yield the fields of the message in `data[start:stop]`, in order; reads tags and lengths only. Raises Damaged."""
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
            raise Damaged(at, f"there is no wire type {form}")
        if not 0 < number < 1 << 29:
            raise Damaged(at, f"no field has the number {number}")
        if end > stop:
            raise Damaged(at, f"a field of {end - begin} bytes does not fit: {stop - begin} are left")
        yield WireField(number, form, at, begin, end, value)
        at = end


def decode_varint(data: memoryview, at: int, stop: int) -> tuple[int, int]:
    """The varint at `at` (seven bits a byte, lowest first), and the offset after it. Raises Damaged."""
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
    """A varint's value as int64: negative numbers are encoded in 64-bit two's complement."""
    return value - (1 << 64) if value >> 63 else value


def encode_varint(value: int) -> bytes:
    """Encode a number, of at most 64 bits, as a varint."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def encode_header(field: int, length: int) -> bytes:
    """Encode the tag and length of a length-delimited field."""
    return encode_varint(field << 3 | BYTES) + encode_varint(length)


def encode_field(field: int, content: bytes) -> bytes:
    """Encode a length-delimited field: bytes, text or a message."""
    return encode_header(field, len(content)) + content
