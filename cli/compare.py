"""`cortado compare`: two nets, or one net run in two ways, value by value."""

from __future__ import annotations

import json
from typing import Any

import click

from .options import reading_options
from .screen import columns, working

TOLERANCE = 1e-4  # of the largest number: what float32 keeps through deep nets


@click.command(short_help="Find the first value in which two nets, or two ways to run one, differ.")
@click.argument("files", nargs=-1, required=True, metavar="A [WEIGHTS] [B [WEIGHTS]]")
@reading_options
@click.option("--target", "targets", metavar="T[,T]", default="cpu", show_default=True, help="How to run each side.")
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
    targets: str,
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
        cortado compare net.prototxt net.caffemodel caffe.npz     (keys blob:NAME, out:NAME, NAME; inputs in:NAME)
        cortado compare net.prototxt net.caffemodel --opencv

    Targets are those of `cortado compile`, reference (each operator by its plain meaning) and reference-f64. Values
    have the names of Caffe's blobs, through all passes; what a pass took away is not there to compare. The tolerance
    is 1e-4 unless one is given.
    """
    with working("comparing"):
        from ..compiler.errors import CompileError
        from .differences import compared
        from .pairing import Way, fed, pair, sides

        ways = [Way(*way) for way in zip(pair(targets, "--target"), pair(passes, "--passes"), strict=True)]
        a, b = sides(files, reading, ways, opencv, seed if random_weights else None)
        inputs = fed(a, b, given, seed)
        found = compared((a.label, b.label), a.values(inputs), b.values(inputs), tolerance, tuple(inputs))
        if not found.values:
            few = [", ".join(names[:5]) or "nothing more" for names in found.only]
            advice = f"The first has {few[0]}; the second has {few[1]}."
            raise CompileError(f"{a.label} and {b.label} have no value of the same name", advice=advice)
    if as_json:
        click.echo(json.dumps(found.json(), indent=1))
    else:
        columns(found.rows(), indent="")
        click.echo("")
        click.echo("\n".join(found.sentences()))
    if found.first is not None:
        raise click.exceptions.Exit(1)
