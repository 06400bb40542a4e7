"""`cortado compare`: compare two nets, or two runs of one net, value by value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from .options import reading_options
from .screen import print_columns, print_json, show_progress

TOLERANCE = 1e-4  # relative to the largest number: the accuracy of float32 through deep nets


@click.command(short_help="Find the first value that differs between two nets, or two runs of one.")
@click.argument("files", nargs=-1, required=True, metavar="A [WEIGHTS] [B [WEIGHTS]]")
@reading_options
@click.option("--target", "targets", metavar="T[,T]", help="For both or each side; default: cpu, or as compiled.")
@click.option("--passes", metavar="P[,P]", default="all", show_default=True, help="all or none, for both or each.")
@click.option("--opencv", is_flag=True, help="B is OpenCV's readNetFromCaffe on the same files.")
@click.option("--input", "given", multiple=True, metavar="NAME=FILE|random", help="An .npy, or an .npz of inputs.")
@click.option("--seed", type=int, default=0, show_default=True, help="The seed of random inputs and weights.")
@click.option("--random-weights", is_flag=True, help="Draw random numbers for weights that have none.")
@click.option(
    "--tolerance", type=click.FloatRange(0), default=TOLERANCE, help="Relative to the largest number of each value."
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(
    files: tuple[str, ...],
    reading: dict[str, Any],
    targets: str | None,
    passes: str,
    opencv: bool,
    given: tuple[str, ...],
    seed: int,
    random_weights: bool,
    tolerance: float,
    as_json: bool,
) -> None:
    """Run A and B on the same inputs, and report the first value that differs. Exits with 1 if one does.

    \b
        cortado compare net.prototxt net.caffemodel other.net
        cortado compare net.prototxt net.caffemodel --target reference-f64,cpu
        cortado compare net.prototxt net.caffemodel --passes none,all
        cortado compare net.prototxt net.caffemodel caffe.npz
        cortado compare net.prototxt net.caffemodel --opencv
        cortado compare net.prototxt --random-weights --opencv

    An .npz holds blobs by name, inputs too: np.savez("caffe.npz", **{k: b.data for k, b in net.blobs.items()}) in
    pycaffe. A name may have the prefix blob: or out:, an input's name in:.

    OpenCV pads rows of detections with zeros and sorts them by score: they are compared row by row, in Caffe's form.

    Targets are those of `cortado compile`, reference (the reference implementation of each operator) and reference-f64.
    Values keep the names of Caffe's blobs through all passes; a value that a pass removes is not compared. The default
    tolerance is 1e-4.
    """
    with show_progress("comparing"):
        from ..compiler.errors import CompileError
        from .compare_arguments import (
            RunConfig,
            collect_inputs,
            find_producer,
            make_runners,
            parse_pair,
        )
        from .compare_opencv import align_detections, make_opencv_runners
        from .differences import compare_values

        both = (None, None) if targets is None else parse_pair(targets, "--target")
        ways = [RunConfig(*way) for way in zip(both, parse_pair(passes, "--passes"), strict=True)]
        drawn = seed if random_weights else None
        a, b = (
            make_opencv_runners(files, reading, ways[0], drawn) if opencv else make_runners(files, reading, ways, drawn)
        )
        inputs = collect_inputs(a, b, given, seed)
        of_a, of_b = a.run(inputs), b.run(inputs)
        if opencv:
            of_b = align_detections(files, reading, of_a, of_b)
        if not a.value_names:  # arrays of a file: use the net's order
            of_a = {name: of_a[name] for name in (*of_b, *of_a) if name in of_a}
        found = compare_values((a.label, b.label), of_a, of_b, tolerance, tuple(inputs), (a.value_names, b.value_names))
        if not found.values:
            advice = " ".join(found.describe_unmatched())
            raise CompileError(f"{a.label} and {b.label} have no value of the same name", advice=advice)
        if found.first_difference is not None:
            found = replace(found, producer=find_producer(files, reading, found.first_difference.name))
    if as_json:
        print_json(found.json())
    else:
        print_columns(found.rows(), indent="")
        click.echo("")
        click.echo("\n".join([*found.summary_lines(), *found.describe_unmatched()]))
    if found.first_difference is not None:
        raise click.exceptions.Exit(1)
