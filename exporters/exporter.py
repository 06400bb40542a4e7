"""What an exporter gets, and what it makes: files as functions that write them, and notes for the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..compilation import Options
from ..frontends.caffe.weights import WeightsGiven
from ..runtime.output import OutputStream


@dataclass(frozen=True)
class ExportRequest:
    """A net to be written in another format.

    `net` and `weights` are as `cortado.compile` takes them, and `options` say how they are read. `out` is where the
    user wants the result: a stem, a file or a folder, whatever the exporter's `paths` make of it. `own` are the
    options of this format that were given.
    """

    net: Path
    weights: WeightsGiven
    out: str
    options: Options = field(default_factory=Options)
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportedFile:
    """A file of the result: its path, and what writes it."""

    path: Path
    write: Callable[[OutputStream], None]


@dataclass(frozen=True)
class Export:
    """A net in another format: its name, the files, which are written together, and the files that they were made from.

    `facts` are pairs of a word and what it is of this net, for a table. A note is a sentence about what differs in the
    result from what was read; a warning, about what was read.
    """

    net: str
    files: tuple[ExportedFile, ...]
    inputs: tuple[str | Path, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(file.path for file in self.files)


class Exporter(Protocol):
    """Writes nets in one format."""

    @property
    def own_options(self) -> Mapping[str, str]:
        """The options of this format alone, and what each does: `ExportRequest.own` has no others."""

    @property
    def takes_target(self) -> bool:
        """Does the target of `options` matter? If not, a user who gives one is told so."""

    def folder(self, request: ExportRequest) -> Path | None:
        """The folder that `request.out` names, which is made if it is missing; None if it names files."""

    def paths(self, request: ExportRequest) -> tuple[Path, ...]:
        """The files that `export` would make, for the check that they can be written. Reads nothing."""

    def export(self, request: ExportRequest) -> Export:
        """The net in this format; nothing is written yet. CompileError for what the format cannot express."""
