"""`cortado detect`: the scores of windows of pictures, as Caffe's detect.py writes them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from ..files import OutputFile, keep_stdout_free, report_write_errors, require_writable, save_arrays
from ..screen import show_progress, track_progress
from .command import CaffeCommand, fork_options, parse_numbers, read_mean, report_caffe_errors

if TYPE_CHECKING:
    from ...compiler.errors import CompileError

COLUMNS = ("ymin", "xmin", "ymax", "xmax")
SELECTIVE_SEARCH = (
    "Selective search is a program for MATLAB, and not offered. Have another program propose windows, and give them "
    "as a CSV file with the columns filename, ymin, xmin, ymax, xmax."
)
BGR = (2, 1, 0)


@dataclass(frozen=True)
class Row:
    """A window of a picture; `edges` are in the order of COLUMNS."""

    file: str
    edges: tuple[float, ...]


@click.command(cls=CaffeCommand, short_help="Score windows of pictures by a classifier, as Caffe's detect.py does.")
@click.argument("windows", metavar="WINDOWS.csv")
@click.argument("out", metavar="OUT", type=OutputFile())
@click.option("--model-def", metavar="NET", required=True, help="The net.")
@click.option("--pretrained-model", metavar="WEIGHTS", required=True, help="Its weights.")
@click.option(
    "--crop-mode", default="list", metavar="list", help="The windows are a list. Selective search is not offered."
)
@click.option("--mean-file", metavar="FILE", help="The mean picture, an .npy or .binaryproto; or B,G,R.")
@click.option("--input-scale", type=float, help="Multiply by this last.")
@click.option("--raw-scale", type=float, default=255.0, show_default=True, help="The range of pixels before the mean.")
@click.option(
    "--channel-swap", metavar="2,1,0", callback=parse_numbers(int), help="The order of channels. [default: 2,1,0: BGR]"
)
@click.option(
    "--context-pad",
    type=click.IntRange(0),
    default=16,
    show_default=True,
    help="Pixels of the net's input, at each side, that show what is around a window.",
)
@click.option("--gpu", is_flag=True, help="Compute on the GPU.")
@fork_options
def detect(
    windows: str,
    out: str,
    model_def: str,
    pretrained_model: str,
    crop_mode: str,
    mean_file: str | None,
    gpu: bool,
    dialect: tuple[str, ...],
    proto: str | None,
    **settings: Any,
) -> None:
    """Score the windows in WINDOWS.csv, whose columns are filename, ymin, xmin, ymax, xmax in pixels.

    OUT is a .csv, with a row for each window and a column for each class; or an .npz with the arrays filename, window
    and prediction. The net is one for classification, as R-CNN's: detectors such as SSD or Faster R-CNN find their
    boxes themselves, and `cortado run` prints those.
    """
    if crop_mode != "list":
        raise click.UsageError(f"--crop-mode {crop_mode}: {SELECTIVE_SEARCH}")
    if not out.lower().endswith((".csv", ".npz")):
        raise click.UsageError(f"{out}: give a .csv or an .npz. A table of pandas in HDF5 is not offered.")
    require_writable(out)
    start = perf_counter()
    with show_progress(f"reading {model_def}"), report_caffe_errors():
        from ...compat.pycaffe import Detector
        from ...compat.pycaffe.mode import device_mode

        rows = list(read_windows(windows))
        require_writable(out, inputs=dict.fromkeys(row.file for row in rows))
        with device_mode(gpu, dialect, proto):
            swap = settings.pop("channel_swap")
            detector = Detector(model_def, pretrained_model, mean=read_mean(mean_file), **settings)
            channels = detector.blobs[detector.inputs[0]].channels
            if swap or channels == len(BGR):
                detector.transformer.set_channel_swap(detector.inputs[0], swap or BGR)
                detector.configure_crop(settings["context_pad"])
    groups, found = [[*group] for _, group in groupby(rows, lambda row: row.file)], list[Any]()
    with report_caffe_errors(), device_mode(gpu, dialect, proto):
        for group in track_progress(groups, f"scoring the windows of {windows}"):
            found += detector.detect_windows([(group[0].file, [row.edges for row in group])])
    save(out, rows, [one["prediction"].reshape(-1) for one in found])
    with keep_stdout_free(out):
        click.echo(f"Processed {len(rows)} windows in {perf_counter() - start:.3f} s.")


def read_windows(path: str) -> Iterator[Row]:
    """The rows of a file. CompileError, with the line, for a column that is missing or a row that is no window."""
    from ...compiler.errors import CompileError

    try:
        text = Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise CompileError(f"{path}: this is no text in UTF-8", advice="Give a CSV file.") from None
    reader, count = csv.DictReader(StringIO(text)), 0
    if missing := [name for name in ("filename", *COLUMNS) if name not in (reader.fieldnames or ())]:
        advice = f"The first line names the columns: filename,{','.join(COLUMNS)}."
        raise CompileError(f"{path}:1: there is no column {missing[0]}", advice=advice)
    for row in reader:
        count += 1
        yield read_row(row, f"{path}:{reader.line_num}")
    if not count:
        raise CompileError(f"{path}: there is no window in it")


def read_row(row: dict[str, str | None], place: str) -> Row:
    """A row of the table. CompileError, begun with its place."""
    try:
        edges = tuple(float(row[name] or "") for name in COLUMNS)
    except ValueError:
        raise bad_row(place, "four numbers are wanted: ymin, xmin, ymax, xmax") from None
    if not all(map(isfinite, edges)) or edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise bad_row(place, "a window begins above and left of where it ends")
    file = row["filename"] or ""
    if not Path(file).is_file():
        raise bad_row(place, f"there is no picture {file or 'named'}")
    return Row(file, edges)


def bad_row(place: str, sentence: str) -> CompileError:
    from ...compiler.errors import CompileError

    return CompileError(f"{place}: {sentence}")


def save(path: str, rows: Sequence[Row], scores: Sequence[Any]) -> None:
    """Write the table, or the arrays."""
    import numpy as np

    from ...runtime.output import write_file

    if path.lower().endswith(".npz"):
        edges = np.array([row.edges for row in rows])
        save_arrays(
            path, {"filename": np.array([row.file for row in rows]), "window": edges, "prediction": np.stack(scores)}
        )
        return
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["filename", *COLUMNS, *(f"class{i}" for i in range(len(scores[0])))])
    for row, numbers in zip(rows, scores, strict=True):
        table.writerow([row.file, *(f"{edge:g}" for edge in row.edges), *map(str, numbers)])
    with report_write_errors():
        write_file(path, text.getvalue())
