"""Recognizes files of a wrong type by their first bytes: a web page, a Git LFS pointer, weights given as a net."""

from __future__ import annotations

import re

from ...compiler.errors import CompileError, Loc

DOWNLOAD_ADVICE = 'Download the file itself (on GitHub: the "Raw" button, not the page that shows it).'
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"\s*<(!doctype|html|head|\?xml)", "an HTML page", DOWNLOAD_ADVICE),
    (rb"\s*40[0-9]:? ", "a server's error message", DOWNLOAD_ADVICE),
    (rb"version https://git-lfs", "a Git LFS pointer", "Fetch the file: git lfs pull."),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", "Caffe names HDF5 weights NAME.caffemodel.h5: give the file that ending."),
    (
        rb"PK\x03\x04|\x1f\x8b|BZh|7z\xbc\xaf|Rar!",
        "a compressed archive",
        "Unpack it, and give the file that was packed in it.",
    ),
    (rb"\x93NUMPY", "a numpy array", "Give the file that Caffe wrote."),
)
PROTOTXT = re.compile(
    rb"(\s|#[^\n]*\n)*(name|layers?|input|input_dim|input_shape|state|force_backward|debug_info)\s*[:{]"
)


def identify(head: bytes) -> tuple[str, str] | None:
    """The type of a file by its first bytes, and advice: ("an HTML page", "Download ..."); None if not recognized."""
    for pattern, what, advice in SIGNATURES:
        if re.match(pattern, head, re.IGNORECASE):
            return what, advice
    return None


def not_prototxt_error(text: str, file: str) -> CompileError | None:
    """The error if `text` cannot be a prototxt: it is empty, another type of file, or binary; else None."""
    head = text[:4096]
    if not text.strip():
        return empty_file_error(text, file)
    if known := identify(head.encode("utf-8", "surrogateescape")):
        return CompileError(f"this is {known[0]}, not a prototxt", Loc(file, 1, 1), "", known[1])
    if "#" in text and "\r" in text and "\n" not in text:
        sentence = "the lines end in CR alone, as on old Macs, so that a comment takes in the rest of the file"
        advice = f"Convert it: tr '\\r' '\\n' < {file} > lines.prototxt"
        return CompileError(sentence, Loc(file, 1, text.index("#") + 1), "", advice)
    if PROTOTXT.match(head.encode("utf-8", "surrogateescape")) and 0 < text.count("\0") < len(text) // 50:
        line, column = (
            text.count("\n", 0, text.index("\0")) + 1,
            text.index("\0") - text.rfind("\n", 0, text.index("\0")),
        )
        advice = "Remove it. Was the file damaged on its way, or cut off when the disk was full?"
        return CompileError("there is a NUL byte in the text", Loc(file, line, column), text, advice)
    if "\0" in text or sum(c < " " and not c.isspace() for c in head) > len(head) // 50:
        advice = "A .caffemodel holds the weights; the net is described in a .prototxt: give that one here."
        return CompileError("this is binary data, not a prototxt", Loc(file, 1, 1), "", advice)
    return None


def empty_file_error(text: str, file: str) -> CompileError:
    """The error for a prototxt without fields."""
    return CompileError("this file is empty", Loc(file, 1, 1), text, "A net has at least one layer: layer { ... }.")


def not_caffemodel_error(head: bytes, file: str) -> CompileError | None:
    """The error if a file that begins with `head` cannot be a caffemodel; else None."""
    if not head:
        return CompileError(f"{file}: byte 0: this file is empty", advice="Was the download or the snapshot cut off?")
    if known := identify(head):
        return CompileError(f"{file}: byte 0: this is {known[0]}, not a caffemodel", advice=known[1])
    if PROTOTXT.match(head.removeprefix(b"\xef\xbb\xbf")):
        advice = "Give the .caffemodel that belongs to it as weights, and this file as the net."
        return CompileError(f"{file}: byte 0: this is a prototxt, not a caffemodel", advice=advice)
    return None
