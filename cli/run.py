"""`cortado run`: run a compiled net on pictures and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from ..frontends.files.file_types import is_artifact
from .files import OutputFile, command_inputs, keep_stdout_free, require_writable, save_arrays
from .options import PictureOptions, picture_options, threads_option
from .screen import print_json, show_progress, track_progress

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime.artifact import Artifact


@click.command(short_help="Run a compiled net on pictures or arrays.")
@click.argument("file", metavar="NET.cortado")
@click.option(
    "--input", "given", multiple=True, metavar="[NAME=]FILE", help="A picture, an .npy, or an .npz of inputs."
)
@picture_options
@click.option("--labels", metavar="FILE", help="The names of the classes, one per line.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Print N best scores or detections.")
@click.option("--min-score", type=float, default=0.3, show_default=True, help="Leave out detections of lower scores.")
@click.option("--output-file", type=OutputFile(), metavar="FILE.npz", help="Write all outputs to this file.")
@click.option("--draw", "drawing", type=OutputFile(), metavar="FILE", help="Draw boxes, a mask or the net's picture.")
@click.option("--draw-as", type=click.Choice(("boxes", "mask", "picture")), help="What to draw. Default: what fits.")
@click.option("--repeat", type=click.IntRange(1), metavar="N", help="Run N more times, and print the time of one run.")
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON; null for NaN and infinities.")
def run(
    file: str,
    given: tuple[str, ...],
    pictures: PictureOptions,
    labels: str | None,
    top: int,
    min_score: float,
    output_file: str | None,
    drawing: str | None,
    draw_as: str | None,
    repeat: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run a net compiled by `cortado compile`.

    Several files for one input are a batch; a folder is all of its pictures, run in batches of the net's size.
    Pictures are preprocessed as stored in the compiled file, unless options say otherwise; arrays are not preprocessed.
    Boxes are in pixels of the pictures. With several pictures, --draw names a folder.
    """
    if output_file:
        require_writable(output_file)
    if draw_as and not drawing:
        raise click.UsageError("--draw-as says how to draw, and nothing is drawn. Give --draw FILE.")
    if Path(file).is_dir() or (Path(file).is_file() and not is_artifact(file)):
        raise click.UsageError(f"{file} is not a compiled net. Compile it first, with `cortado compile`.")
    with show_progress(f"running {file}"):
        from ..plugins import plugin_layers
        from ..runtime import load
        from ..runtime.preprocess import read_labels
        from .draw import draw, plan_drawings, save_picture
        from .feed import input_paths, load_inputs, picture_paths, split_folder
        from .results import join_outputs, make_viewer

        names = (labels, read_labels(labels)) if labels else ("", [])
        net = load(file, compile=compile_again, layers=plugin_layers(), threads=threads)
        batches = split_folder(net, given)
        paths = input_paths(net, batches)
        drawings = plan_drawings(drawing, picture_paths(paths)) if drawing else {}
        written = [output_file] if output_file else []
        require_writable(*drawings.values(), *written, inputs=[*command_inputs(), *paths])
    kept, counts, results, times = list[Any](), list[int](), list[list[Any]](), list[float]()
    for batch in track_progress(batches, f"running {file}"):
        feed = load_inputs(net, batch, pictures)
        outputs = net(feed.arrays)
        viewer = make_viewer(net, outputs, feed, names, top, min_score, several=len(batches) > 1)
        if drawing:
            for picture, image in zip(feed.pictures, draw(outputs, viewer, feed, draw_as), strict=True):
                save_picture(drawings[picture.path], image)
        results.append([viewer.view(name, array, feed) for name, array in outputs.items()])
        times += [time_run(net, feed.arrays) for _ in range(repeat or 0)]
        counts.append(len(feed.pictures))
        if output_file:
            kept.append(outputs)
    if output_file:
        save_arrays(output_file, join_outputs(kept, counts, viewer.rows))
    seconds = {"median": median(times), "best": min(times), "runs": len(times)} if times else None
    with keep_stdout_free(output_file):
        print_results(results, seconds, as_json)


def print_results(results: Sequence[Sequence[Any]], seconds: Mapping[str, float] | None, as_json: bool) -> None:
    """What is shown of each batch's outputs; as JSON, several batches are a list."""
    if as_json:
        dicts = [{result.output.name: result.to_dict() for result in batch} for batch in results]
        answer = {"outputs": dicts[0]} if len(dicts) == 1 else {"batches": [{"outputs": found} for found in dicts]}
        print_json(answer | {"seconds": seconds})
        return
    for batch in results:
        for result in batch:
            result.print()
    if seconds:
        best, middle = seconds["best"] * 1e3, seconds["median"] * 1e3
        click.echo(f"{middle:.3f} ms a run, the median of {seconds['runs']}; the best took {best:.3f} ms")


def compile_again(
    source: str, shapes: Mapping[str, Sequence[int | str]], weights: Mapping[str, Tensor], target: str
) -> Artifact:
    """Compile for input shapes that the file does not hold; the compiler is imported only when it is needed."""
    from ..driver import recompile

    return recompile(source, shapes, weights, target)


def time_run(net: Any, inputs: Mapping[str, Any]) -> float:
    start = perf_counter()
    net(inputs)
    return perf_counter() - start
