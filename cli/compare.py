"""`cortado compare`: two nets, or one net run in two ways, value by value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from .options import reading_options
from .screen import print_columns, show_progress

TOLERANCE = 1e-4  # of the largest number: what float32 keeps through deep nets


@click.command(short_help="Find the first value in which two nets, or two ways to run one, differ.")
@click.argument("files", nargs=-1, required=True, metavar="A [WEIGHTS] [B [WEIGHTS]]")
@reading_options
@click.option("--target", "targets", metavar="T[,T]", help="How to run each side; without it a compiled net as it is.")
@click.option("--passes", metavar="P[,P]", default="all", show_default=True, help="all or none, for each side.")
@click.option("--opencv", is_flag=True, help="B is OpenCV's readNetFromCaffe on the same files.")
@click.option("--input", "given", multiple=True, metavar="NAME=FILE|random", help="An .npy, or an .npz of inputs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Names the random inputs and weights.")
@click.option("--random-weights", is_flag=True, help="Draw the weights that a net has no file for.")
@click.option("--tolerance", type=click.FloatRange(0), default=TOLERANCE, help="Part of each value's largest number.")
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
    """Run A and B on the same inputs and tell the first value that differs. Exits with 1 if one does.

    \b
        cortado compare net.prototxt net.caffemodel other.net
        cortado compare net.prototxt net.caffemodel --target reference-f64,cpu
        cortado compare net.prototxt net.caffemodel --passes none,all
        cortado compare net.prototxt net.caffemodel caffe.npz
        cortado compare net.prototxt net.caffemodel --opencv
        cortado compare net.prototxt --random-weights --opencv

    An .npz holds blobs by name, inputs too: np.savez("caffe.npz", **{k: b.data for k, b in net.blobs.items()}) in
    pycaffe. As in the golden cases, a name may begin with blob: or out:, an input's with in:.

    OpenCV fills rows of detections up with zeros and sorts them by score: they are compared row by row, as Caffe has
    them.

    Targets are those of `cortado compile`, reference (each operator by its plain meaning) and reference-f64. Values
    have the names of Caffe's blobs, through all passes; what a pass took away is not there to compare. The tolerance
    is 1e-4 unless one is given.
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
        if not a.value_names:  # numbers of a file: the order is the net's
            of_a = {name: of_a[name] for name in (*of_b, *of_a) if name in of_a}
        found = compare_values((a.label, b.label), of_a, of_b, tolerance, tuple(inputs), (a.value_names, b.value_names))
        if not found.values:
            advice = " ".join(found.describe_unmatched())
            raise CompileError(f"{a.label} and {b.label} have no value of the same name", advice=advice)
        if found.first_difference is not None:
            found = replace(found, producer=find_producer(files, reading, found.first_difference.name))
    if as_json:
        click.echo(json.dumps(found.json(), indent=1))
    else:
        print_columns(found.rows(), indent="")
        click.echo("")
        click.echo("\n".join([*found.summary_lines(), *found.describe_unmatched()]))
    if found.first_difference is not None:
        raise click.exceptions.Exit(1)
