"""`cortado compare`: two nets, or one net run in two ways, value by value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from .options import reading_options
from .screen import columns, working

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

    An .npz holds blobs by name, inputs too: np.savez("caffe.npz", **{k: b.data for k, b in net.blobs.items()}) in
    pycaffe. As in the golden cases, a name may begin with blob: or out:, an input's with in:.

    Targets are those of `cortado compile`, reference (each operator by its plain meaning) and reference-f64. Values
    have the names of Caffe's blobs, through all passes; what a pass took away is not there to compare. The tolerance
    is 1e-4 unless one is given.
    """
    with working("comparing"):
        from ..compiler.errors import CompileError
        from .differences import compared
        from .pairing import Way, fed, made_by, pair, sides

        both = (None, None) if targets is None else pair(targets, "--target")
        ways = [Way(*way) for way in zip(both, pair(passes, "--passes"), strict=True)]
        a, b = sides(files, reading, ways, opencv, seed if random_weights else None)
        inputs = fed(a, b, given, seed)
        of_a, of_b = a.values(inputs), b.values(inputs)
        if not a.known:  # numbers of a file: the order is the net's
            of_a = {name: of_a[name] for name in (*of_b, *of_a) if name in of_a}
        found = compared((a.label, b.label), of_a, of_b, tolerance, tuple(inputs), (a.known, b.known))
        if not found.values:
            advice = " ".join(found.left_out())
            raise CompileError(f"{a.label} and {b.label} have no value of the same name", advice=advice)
        if found.first is not None:
            found = replace(found, maker=made_by(files, reading, found.first.name))
    if as_json:
        click.echo(json.dumps(found.json(), indent=1))
    else:
        columns(found.rows(), indent="")
        click.echo("")
        click.echo("\n".join([*found.sentences(), *found.left_out()]))
    if found.first is not None:
        raise click.exceptions.Exit(1)
