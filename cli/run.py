"""`cortado run`: run a compiled net on pictures and arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from ..frontends.files.file_types import is_artifact
from .files import OutputFile, keep_stdout_free, require_writable, save_arrays
from .options import PictureOptions, picture_options
from .screen import print_columns, show_progress, warn

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime.artifact import Artifact

MAX_SHOWN = 10  # pictures whose best scores are printed; --output-file has all


@click.command(short_help="Run a compiled net on pictures or arrays.")
@click.argument("file", metavar="NET.cortado")
@click.option(
    "--input", "given", multiple=True, metavar="[NAME=]FILE", help="A picture, an .npy, or an .npz of inputs."
)
@picture_options
@click.option("--labels", metavar="FILE", help="The names of the classes, one per line.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Print N best scores.")
@click.option("--output-file", type=OutputFile(), metavar="FILE.npz", help="Write all outputs to this file.")
@click.option("--repeat", type=click.IntRange(1), metavar="N", help="Run N more times, and print the time of one run.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Use N threads.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def run(
    file: str,
    given: tuple[str, ...],
    pictures: PictureOptions,
    labels: str | None,
    top: int,
    output_file: str | None,
    repeat: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run a net compiled by `cortado compile`.

    Several files for one input are a batch. Pictures are preprocessed as stored in the compiled file, unless options
    say otherwise; arrays are not preprocessed.
    """
    if output_file:
        require_writable(output_file)
    if Path(file).is_dir() or (Path(file).is_file() and not is_artifact(file)):
        raise click.UsageError(f"{file} is not a compiled net. Compile it first, with `cortado compile`.")
    with show_progress(f"running {file}"):
        from ..plugins import plugin_layers
        from ..runtime import load
        from ..runtime.preprocess import read_labels
        from .feed import load_inputs

        names = read_labels(labels) if labels else []
        net = load(file, compile=compile_again, layers=plugin_layers(), threads=threads)
        inputs = load_inputs(net, given, pictures)
        outputs = net(inputs)
        labels_of = match_labels(labels, names, outputs) if labels else {}
        times = [time_run(net, inputs) for _ in range(repeat or 0)]
    if output_file:
        save_arrays(output_file, outputs)
    seconds = {"median": median(times), "best": min(times), "runs": len(times)} if times else None
    with keep_stdout_free(output_file):
        if as_json:
            result = {name: output_to_dict(array, top, labels_of.get(name, ())) for name, array in outputs.items()}
            click.echo(json.dumps({"outputs": result, "seconds": seconds}, indent=1))
            return
        for name, array in outputs.items():
            print_output(name, array, top, labels_of.get(name, ()))
        if seconds:
            best, middle = seconds["best"] * 1e3, seconds["median"] * 1e3
            click.echo(f"{middle:.3f} ms a run, the median of {len(times)}; the best took {best:.3f} ms")


def compile_again(
    source: str, shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor], target: str
) -> Artifact:
    """Compile for input shapes that the file does not hold; the compiler is imported only when it is needed."""
    from ..driver import recompile

    return recompile(source, shapes, weights, target)


def time_run(net: Any, inputs: Mapping[str, Any]) -> float:
    start = perf_counter()
    net(inputs)
    return perf_counter() - start


def class_scores(array: Any) -> Any:
    """The output as [N, classes] if it holds one score per class and picture, else None."""
    flat = array.ndim >= 2 and array.shape[1] > 1 and array[0:1].size == array.shape[1]
    return array.reshape(len(array), -1) if flat else None


def match_labels(file: str, labels: Sequence[str], outputs: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """The labels for each output that has as many classes. CompileError if outputs have classes, and none so many."""
    from ..compiler.errors import CompileError

    counts = {name: rows.shape[1] for name, array in outputs.items() if (rows := class_scores(array)) is not None}
    if not counts:
        warn([f"{file} has no effect: no output holds one score for each class"])
    elif len(labels) not in counts.values():
        listed = ", ".join(f'"{name}" has {count} classes' for name, count in counts.items())
        advice = "A label is a line of the file, and the first line is class 0. Is it the file of this very net?"
        raise CompileError(f"{file} has {len(labels)} labels, and {listed}", advice=advice)
    return {name: labels for name, count in counts.items() if count == len(labels)}


def output_to_dict(array: Any, count: int, labels: Sequence[str]) -> dict[str, Any]:
    """An output as JSON: its best scores, or the range of its numbers; null for NaN."""
    from ..runtime.preprocess import top

    result: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if (rows := class_scores(array)) is not None:
        best = [top(row, count, labels) for row in rows]
        return result | {"top": [[{"score": s, "index": i, "label": label} for s, i, label in row] for row in best]}
    low, mean, high = min_mean_max(array)
    return result | {name: v if v == v else None for name, v in (("min", low), ("mean", mean), ("max", high))}


def min_mean_max(array: Any) -> tuple[float, float, float]:
    """Minimum, mean and maximum; NaN for an empty output."""
    if not array.size:
        return float("nan"), float("nan"), float("nan")
    return float(array.min()), float(array.mean(dtype="f8")), float(array.max())


def print_output(name: str, array: Any, count: int, labels: Sequence[str]) -> None:
    from ..runtime.preprocess import top

    rows = class_scores(array)
    if rows is None:
        low, mean, high = min_mean_max(array)
        click.echo(f"{name} {list(array.shape)}: {low:.6g} to {high:.6g}, mean {mean:.6g}")
        return
    for i, row in enumerate(rows[:MAX_SHOWN]):
        click.echo(f"{name}:" if len(rows) == 1 else f"{name}, picture {i + 1}:")
        print_columns((f"{score:.6f}", f"{index} {label}".rstrip()) for score, index, label in top(row, count, labels))
    if len(rows) > MAX_SHOWN:
        click.echo(f"... and {len(rows) - MAX_SHOWN} more pictures; --output-file writes all scores")
