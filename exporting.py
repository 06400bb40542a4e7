"""Exports a net: reads it, has an exporter express it in its format, and writes the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from .compilation import Options
from .compiler.errors import CompileError
from .compiler.suggestion import did_you_mean
from .exporters import exporter_named
from .exporters.exporter import Export, Exporter, ExportRequest
from .frontends.caffe.weights import WeightsGiven
from .plugins import load_plugins
from .runtime.output import OutputError, check_output_files, make_folder, open_output, refuse_folder


def export(
    prototxt: str | Path,
    caffemodel: WeightsGiven = None,
    *,
    to: str,
    out: str | Path,
    target: str = "cpu",
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    outputs: Sequence[str] = (),
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    lenient: bool = False,
    dialect: str | Sequence[str] = (),
    start_at: str | Sequence[str] = (),
    proto: str | Path | None = None,
    **own: Any,
) -> Export:
    """Write a net in the format `to`: "caffe", "c" or "so". docs/exporting.md tells what each format has.

    `out` is for "caffe" a path without a suffix, or a folder that exists, in which the files are named after the net;
    for "c" a folder, and for "so" NAME.so. The formats' own options are keywords: `fold=True` for "caffe", `march` for
    "c" and "so", `name` for "c". All others are those of `cortado.compile`.

    Returns the paths that were written and notes on what the format expresses otherwise. CompileError for a net that
    is refused, or that the format cannot express; OutputError if a file cannot be written, or is an input: then all
    that was there before is unchanged.
    """
    options = Options(
        target, shapes or {}, tuple(outputs), phase=phase, level=level, stages=tuple(stages), lenient=lenient,
        dialects=(dialect,) if isinstance(dialect, str) else tuple(dialect),
        start_at=(start_at,) if isinstance(start_at, str) else tuple(start_at), proto=proto,
    )  # fmt: skip
    return export_files(to, ExportRequest(Path(prototxt), caffemodel, str(out), options, own))


def export_files(to: str, request: ExportRequest) -> Export:
    """Make the files of a format, and write them. Errors are those of `export`."""
    chosen = exporter_named(to)
    for name in request.own:
        if name not in chosen.own_options:
            known = ", ".join(chosen.own_options) or "none"
            sentence = f"{name} is not an option of {to}{did_you_mean(name, chosen.own_options)}"
            raise CompileError(sentence, advice=f"Its own options: {known}.")
    check_outputs(chosen, request, given_files(request))
    load_plugins()
    made = chosen.export(request)
    write_export(made, given_files(request), chosen.folder(request))
    return made


def write_export(made: Export, inputs: Sequence[str | Path], folder: Path | None = None) -> None:
    """Write all files, or change nothing; `folder` is made if it is missing. OutputError as for `export`."""
    is_new = folder is not None and not folder.exists()
    if folder is not None:
        make_folder(folder)
    try:
        with ExitStack() as stack:  # all are replaced when all are written
            opened = [stack.enter_context(open_output(f.path, (*inputs, *made.inputs))) for f in made.files]
            for file, stream in zip(made.files, opened, strict=True):
                file.write(stream)
    except BaseException:
        if folder is not None and is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def require_out(request: ExportRequest) -> None:
    """OutputError for an empty path, which a variable without a value leaves, and which would be this folder."""
    if not request.out:
        raise OutputError('""', "the path is empty")


def check_outputs(chosen: Exporter, request: ExportRequest, inputs: Sequence[str | Path]) -> None:
    """OutputError unless all files that the request would make can be written."""
    require_out(request)
    folder, paths = chosen.folder(request), chosen.paths(request)
    if folder is None or folder.exists():
        check_output_files(paths, inputs)
    else:
        refuse_folder(folder, folder.parent)


def given_files(request: ExportRequest) -> list[str | Path]:
    """The files that the user names as inputs."""
    given = (request.net, request.weights, request.options.proto)
    return [path for path in given if isinstance(path, str | Path)]
