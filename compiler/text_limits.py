"""Refuses hostile texts before they are parsed: too long, or with brackets nested too deeply."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from .errors import CompileError, Loc
from .limits import MAX_NESTING, MAX_TEXT_BYTES

SKIPPED = r""""(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+'|\#[^\n]*+"""  # strings and comments
PARTS = re.compile(SKIPPED + r"|([{<(\[])|([}>)\]])")


def read_limited(path: Path) -> bytes:
    """The bytes of a file that holds a text. CompileError if there are too many; OSError as for any file."""
    with path.open("rb") as file:
        return read_stream(file, str(path))


def read_stream(file: BinaryIO, name: str, already: int = 0) -> bytes:
    """What is left of a stream, but no more than a text may have. CompileError if there is more.

    `already` is the number of bytes that were read from it before.
    """
    data = file.read(MAX_TEXT_BYTES + 1 - already)
    if len(data) + already > MAX_TEXT_BYTES:
        advice = "Nets of thousands of layers have less. Is it the right file?"
        raise CompileError(f"{name}: a text of a net has at most {MAX_TEXT_BYTES} bytes", advice=advice)
    return data


def check_nesting(text: str, file: str) -> None:
    """CompileError, with place, if brackets are nested deeper than MAX_NESTING."""
    depth = 0
    for part in PARTS.finditer(text):
        if part[1]:
            depth += 1
            if depth > MAX_NESTING:
                at = part.start()
                loc = Loc(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
                sentence = f"brackets are nested deeper than {MAX_NESTING}"
                raise CompileError(sentence, loc, text, "Is a closing bracket missing above?")
        elif part[2] and depth:
            depth -= 1
