"""`cortado compile`: a net and its weights into one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .files import writable, writing
from .options import Pictures, net_options, options_of, picture_options
from .screen import columns, size, warn, working


@click.command(short_help="Compile a net and its weights to one file.")
@net_options
@click.option("-o", "file", metavar="FILE", required=True, help="Where to write the compiled net: net.cortado.")
@click.option(
    "--passes", type=click.Choice(["all", "none"]), default="all", help="none: only what a net cannot run without."
)
@picture_options
@click.option("--input", "picture_input", metavar="NAME", help="Which input the picture options are for.")
@click.option("--json", "as_json", is_flag=True, help="Print what happened as JSON.")
def compile(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    file: str,
    passes: str,
    pictures: Pictures,
    picture_input: str | None,
    as_json: bool,
) -> None:
    """Compile NET, a .prototxt or a .net in cortado's language, with WEIGHTS, its .caffemodel or .caffemodel.h5.

    A .caffemodel alone will do where its own settings tell the net; its inputs may need --shape.

    How pictures become its input (--mean and the like) is kept in the file, so that `cortado run` needs no options.
    """
    writable(file)
    with working(f"compiling {net}"):
        from ..driver import Report, compiled
        from ..runtime.artifact import write
        from .pictures import keeping
        from .summary import summary

        report = Report()
        artifact = compiled(Path(net), weights, options_of(reading, optimize=passes == "all"), report, {})
        if pictures.given or picture_input:
            artifact = keeping(artifact, pictures, picture_input)
        with writing(file):
            write(file, artifact)
    made = summary(report, artifact)
    if as_json:
        click.echo(json.dumps(made.json() | {"file": file}, indent=1))
        return
    warn(made.warnings)
    click.echo(f"{made.net}, compiled for {made.target}")
    columns([*made.rows(), ("file", f"{file}, {size(Path(file).stat().st_size)}")])
