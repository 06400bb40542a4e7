"""Writes a net as a shared library for one kind of processor, with its header beside it; see exporters/c.py."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..compiler.errors import CompileError
from ..driver import Compilation
from ..runtime.native.build import compiler_for
from ..runtime.native.library import write_library
from .c import describe, require_ours, write_text
from .exporter import Export, ExportedFile, ExportRequest
from .native_plan import compile_request, embed_compilation, machine_named


class SharedLibrary:
    """The exporter; see the module."""

    own_options: Mapping[str, str] = {"march": "the kind of processor, as compilers call it; this one's by default"}
    takes_target = True

    def folder(self, request: ExportRequest) -> Path | None:
        return None

    def paths(self, request: ExportRequest) -> tuple[Path, ...]:
        return library_paths(request.out)

    def export(self, request: ExportRequest) -> Export:
        """The net for one kind of processor. CompileError if a step has no kernel in C, or `out` is no NAME.so.

        ArtifactError if there is no compiler.
        """
        return export_library(compile_request(request), request.out, request.own.get("march") or "")


EXPORTER = SharedLibrary()


def is_library(path: str | Path) -> bool:
    """Is this how a shared library is called?"""
    return Path(path).suffix == ".so" and Path(path).stem != ""


def library_paths(out: str | Path) -> tuple[Path, ...]:
    """NAME.so and NAME.h. CompileError for another name."""
    path = Path(out)
    if not is_library(path):
        raise CompileError(
            f"{out} is no name for a shared library", advice="Give NAME.so; NAME.h is written beside it."
        )
    return path, path.with_suffix(".h")


def export_library(made: Compilation, out: str | Path, march: str = "") -> Export:
    """A compiled net as a library. It is compiled when it is written. Errors are those of `SharedLibrary.export`."""
    machine, (path, header) = machine_named(march), library_paths(out)
    compiler_for(machine)
    net = embed_compilation(made, machine)
    require_ours(header)
    return Export(
        made.graph.name,
        (
            ExportedFile(path, partial(write_library, net, machine)),
            ExportedFile(header, partial(write_text, net.texts["net.h"])),
        ),
        inputs=made.file.files,
        facts=describe(net, machine),
        warnings=made.file.warnings,
    )
