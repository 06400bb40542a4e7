"""`cortado export`: write a net in the format of another program."""

from __future__ import annotations

import json
from typing import Any

import click
from click.core import ParameterSource

from ..exporters import FORMATS
from .files import OutputFile, command_inputs, report_write_errors
from .options import make_options, net_options
from .screen import format_size, print_columns, show_progress, warn

OWN_OPTIONS = ("fold",)  # of single formats


@click.command(short_help="Write a net in the format of another program: Caffe.")
@net_options
@click.option("--to", "to", type=click.Choice([*FORMATS]), required=True, help="The format.")
@click.option(
    "-o",
    "out",
    type=OutputFile(),
    metavar="OUT",
    required=True,
    help="Write OUT.prototxt and OUT.caffemodel; or a folder, for files that are named after the net.",
)
@click.option("--fold", is_flag=True, help="caffe: fold BatchNorm, Scale and Bias into weights, and drop Dropout.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def export(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    to: str,
    out: str,
    as_json: bool,
    **own: Any,
) -> None:
    """Write NET, with its WEIGHTS, in the format of another program.

    NET and WEIGHTS are those of `cortado compile`. --to caffe writes them in Caffe's current format, whatever
    generation they are of, for programs that take only that; without WEIGHTS, the prototxt alone. A net in cortado's
    language, and a compiled one, is written as a layer for each operator.
    """
    source = click.get_current_context().get_parameter_source
    with show_progress(f"exporting {net}"):
        from pathlib import Path

        from ..exporters import exporter_named
        from ..exporters.exporter import ExportRequest
        from ..exporting import check_paths, export_files

        chosen = exporter_named(to)
        given = {name: own[name] for name in OWN_OPTIONS if source(name) is ParameterSource.COMMANDLINE}
        if foreign := [name for name in given if name not in chosen.own_options]:
            raise click.UsageError(f"--{foreign[0]} is not for --to {to}.")
        if not chosen.takes_target and source("target") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--target is not for --to {to}, which no target of cortado runs.")
        request = ExportRequest(Path(net), weights, out, make_options(reading, net=net), given)
        with report_write_errors():
            check_paths(chosen.paths(request), command_inputs())
            made = export_files(to, request)
    sizes = {str(path): path.stat().st_size for path in made.paths if path.is_file()}
    if as_json:
        found = {"net": made.net, "format": to, "files": sizes, **dict(made.facts)}
        click.echo(json.dumps(found | {"notes": made.notes, "warnings": made.warnings}, indent=1))
        return
    warn(made.warnings)
    click.echo(f"{made.net}, for {to}")
    files = [("file", f"{path}, {format_size(size)}") for path, size in sizes.items()]
    print_columns([*made.facts, *(("note", sentence) for sentence in made.notes), *files])
