"""Writes a net as C: code, header, weights, and an example with what builds it; see runtime/native/embedding.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..compiler.errors import CompileError
from ..runtime.native.embedding import EmbeddedNet
from ..runtime.native.machine import Machine, processor_name
from ..runtime.output import OutputError, OutputStream
from .exporter import Export, ExportedFile, ExportRequest
from .native_plan import compile_request, embed_compilation, machine_named

EXAMPLE = ("main.c", "Makefile", "CMakeLists.txt")
SIGNS = (b"compiled by cortado", b"Written by cortado", b"cortado weights")  # near the start of what it wrote
START = 4096  # bytes


class C:
    """The exporter; see the module."""

    own_options: Mapping[str, str] = {
        "march": "the kind of processor, as compilers call it; this one's by default",
        "name": "what the names of files and functions begin with; net by default",
    }
    takes_target = True

    def folder(self, request: ExportRequest) -> Path | None:
        return Path(request.out)

    def paths(self, request: ExportRequest) -> tuple[Path, ...]:
        name, folder = prefix(request), Path(request.out)
        return tuple(folder / file for file in (f"{name}.c", f"{name}.h", f"{name}_weights.bin", *EXAMPLE))

    def export(self, request: ExportRequest) -> Export:
        """The net for one kind of processor. CompileError if a step has no kernel in C.

        What was in the folder stays: a file that looks like the example's, but is not as it would be written, is left
        alone, with a note; and OutputError if one of the net's own names is somebody else's file.
        """
        machine, folder = machine_named(request.own.get("march") or ""), Path(request.out)
        made = compile_request(request)
        net = embed_compilation(made, machine, prefix(request))
        notes, files = list[str](), list[ExportedFile]()
        for name, text in (*net.texts.items(), *net.example.items()):
            path = folder / name
            if name in net.example and is_changed(path, text):
                notes.append(f"{path} is there already, and stays as it is")
                continue
            files.append(ExportedFile(path, partial(write_text, text)))
        files.insert(0, ExportedFile(folder / net.weights_name, net.write_weights))
        for file in files:
            if file.path.name not in EXAMPLE:
                require_ours(file.path)
        return Export(
            made.graph.name,
            tuple(files),
            inputs=made.file.files,
            facts=describe(net, machine),
            notes=tuple(notes),
            warnings=made.file.warnings,
        )


EXPORTER = C()


def prefix(request: ExportRequest) -> str:
    """What names begin with. CompileError if C does not take it."""
    name = request.own.get("name") or "net"
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        advice = "Give lower-case letters, digits and underscores."
        raise CompileError(f"{name!r} cannot begin the names of functions", advice=advice)
    return name


def describe(net: EmbeddedNet, machine: Machine) -> tuple[tuple[str, str], ...]:
    """What it is for, and how long."""
    code = next(text for name, text in net.texts.items() if name.endswith(".c"))
    return ("for", processor_name(machine)), ("code", f"{code.count(chr(10)):,} lines")


def write_text(text: str, file: OutputStream) -> None:
    file.write(text.encode())


def is_changed(path: Path, text: str) -> bool:
    """Is there a file, and another than would be written?"""
    return path.exists() and (not path.is_file() or path.read_bytes() != text.encode())


def require_ours(path: Path) -> None:
    """OutputError if there is a file that cortado did not write: nobody has named it as an output."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(START)
        if not any(sign in start for sign in SIGNS):
            raise OutputError(path, "it is there already, and cortado did not write it", "Give another folder or name.")
