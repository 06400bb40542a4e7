"""Writes nets in the formats of other programs: the registry of exporters, by the name of the format.

An exporter is a module here with a constant `EXPORTER`, an `Exporter` (exporter.py); it is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exporter import Exporter

FORMATS: Mapping[str, str] = {  # the name of the format, which is that of its module: what it is
    "caffe": "prototxt and caffemodel, upgraded to the current format; with --fold, BatchNorm is folded",
    "c": "C for one kind of processor, with header, weights and an example; it needs libc, libm and pthread",
    "so": "the same, compiled to a shared library, with its header",
}


def exporter_named(name: str) -> Exporter:
    """The exporter of this format. CompileError if there is none."""
    if name not in FORMATS:
        from ..compiler.errors import CompileError
        from ..compiler.suggestion import did_you_mean

        advice = f"The formats are {', '.join(FORMATS)}."
        raise CompileError(f"no format is called {name}{did_you_mean(name, FORMATS)}", advice=advice)
    found: Exporter = import_module(f".{name}", __name__).EXPORTER
    return found
