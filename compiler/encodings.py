"""Texts that are not in UTF-8: which encoding a file is in, and how to convert it."""

from __future__ import annotations

import codecs
from pathlib import Path

from .errors import CompileError, Loc

BYTE_ORDER_MARKS = (  # UTF-32's first: its little-endian one begins with UTF-16's
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# The place of the one byte that an ASCII character has in each unit; the others are 0.
WIDE_UNITS = (("UTF-32LE", 4, 0), ("UTF-32BE", 4, 3), ("UTF-16LE", 2, 0), ("UTF-16BE", 2, 1))
ASCII_TEXT = frozenset(b"\t\n\r" + bytes(range(32, 127)))
SAMPLE = 1024  # bytes that tell


def find_wide_encoding(data: bytes) -> str:
    """The name, as iconv has it, of an encoding of two or four bytes a character; "" for any other data.

    Without a byte order mark nine in ten characters have to be ASCII, as in any net.
    """
    for mark, name in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return name
    for name, width, place in WIDE_UNITS:
        units = [data[i : i + width] for i in range(0, min(len(data), SAMPLE) - width + 1, width)]
        ascii = sum(unit[place] in ASCII_TEXT and not any(unit[:place] + unit[place + 1 :]) for unit in units)
        if len(units) > 1 and ascii * 10 >= len(units) * 9:
            return name
    return ""


def wide_encoding_error(data: bytes, file: str) -> CompileError | None:
    """The error for a text in UTF-16 or UTF-32, which Caffe does not read either; None for other data."""
    name = find_wide_encoding(data)
    if not name:
        return None
    return CompileError(f"this is {name} text, and has to be UTF-8", Loc(file, 1, 1), "", convert_advice(name, file))


def convert_advice(encoding: str, file: str) -> str:
    """How to make a UTF-8 text of a file."""
    return f"Save it as UTF-8, or convert it: iconv -f {encoding} -t UTF-8 {file} > utf8{Path(file).suffix}"


def invalid_byte_advice(file: str) -> str:
    """Advice for a byte that is not UTF-8: only the person knows which of the older encodings it is."""
    return f"Is it Latin-1? {convert_advice('ISO-8859-1', file)}. In GBK or Shift-JIS, give iconv that name."


def decode_utf8(data: bytes, file: str) -> str:
    """The text of a file in UTF-8, its lines ended by \\n. CompileError with a place if it is in another encoding."""
    if error := wide_encoding_error(data, file):
        raise error
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = len(data[data.rfind(b"\n", 0, e.start) + 1 : e.start].decode("utf-8", "replace")) + 1
        sentence = f"byte 0x{data[e.start]:02X} is not UTF-8 text"
        raise CompileError(sentence, Loc(file, line, column), "", invalid_byte_advice(file)) from None
