"""Detects the type of a file by its first bytes, without importing anything."""

from __future__ import annotations

from pathlib import Path

ELF = b"\x7fELF"  # how shared libraries and programs begin


def is_artifact(path: str | Path) -> bool:
    """True if the file looks like a compiled net: a safetensors file (a length, then a brace), or a shared library.

    The reader of compiled nets refuses a library, and says what opens it. A pipe, which can be read only once, is
    judged by its name alone.
    """
    named = Path(path).suffix == ".cortado"
    if not Path(path).is_file():
        return named
    try:
        with Path(path).open("rb") as file:
            head = file.read(9)
    except OSError:
        return named
    return named or head.startswith(ELF) or (head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32)


def refuse_library(path: str | Path) -> None:
    """CompileError for a shared library, which is no file of weights."""
    try:
        if not Path(path).is_file():
            return
        with Path(path).open("rb") as file:
            head = file.read(len(ELF))
    except OSError:  # the reader reports it
        return
    if head == ELF:
        from ...compiler.errors import CompileError
        from ...runtime.elf import REFUSED

        raise CompileError(f"{path}: {REFUSED}")
