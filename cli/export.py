"""`cortado export`: write a net in the format of another program, or as a program's part."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from ..exporters import FORMATS
from .files import OutputFile, command_inputs, report_write_errors
from .options import make_options, march_option, net_options
from .screen import format_size, print_columns, print_json, show_progress, warn

OWN_OPTIONS = ("fold", "march", "name")  # of single formats


@click.command(short_help="Write a net in the format of another program: Caffe; or as C.")
@net_options
@click.option("--to", "to", type=click.Choice([*FORMATS]), required=True, help="The format.")
@click.option(
    "-o",
    "out",
    type=OutputFile(),
    metavar="OUT",
    required=True,
    help="caffe: write OUT.prototxt and OUT.caffemodel; or a folder, for files that are named after the net. "
    "c: the folder OUT, made if it is missing. so: OUT is NAME.so, and NAME.h is written beside it.",
)
@click.option("--fold", is_flag=True, help="caffe: fold BatchNorm, Scale and Bias into weights, and drop Dropout.")
@march_option("c, so: ")
@click.option("--name", metavar="NAME", help="c: what names of files and functions begin with. Default: net.")
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
    """Write NET, with its WEIGHTS, in the format of another program, or as C.

    NET and WEIGHTS are those of `cortado compile`.

    --to caffe writes them in Caffe's current format, whatever
    generation they are of, for programs that take only that; without WEIGHTS, the prototxt alone. A net in cortado's
    language, and a compiled one, is written as a layer for each operator.

    --to c writes a program's part: code, header and weights that need no more than a C compiler, libc, libm and
    pthread, with an example and what builds it. --to so compiles that to a shared library. Both are for one kind of
    processor, and for nets whose every step has a kernel in C.
    """
    source = click.get_current_context().get_parameter_source
    with show_progress(f"exporting {net}"):
        from pathlib import Path

        from ..exporters import exporter_named
        from ..exporters.exporter import ExportRequest
        from ..exporters.native_plan import require_native_target
        from ..exporting import check_outputs, export_files

        chosen = exporter_named(to)
        given = {name: own[name] for name in OWN_OPTIONS if source(name) is ParameterSource.COMMANDLINE}
        if foreign := [name for name in given if name not in chosen.own_options]:
            raise click.UsageError(f"--{foreign[0]} is not for --to {to}.")
        if chosen.takes_target and source("target") is ParameterSource.COMMANDLINE:
            require_native_target(reading["target"])
        if not chosen.takes_target and source("target") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--target is not for --to {to}, which no target of cortado runs.")
        request = ExportRequest(Path(net), weights, out, make_options(reading, net=net), given)
        with report_write_errors():
            check_outputs(chosen, request, command_inputs())
            made = export_files(to, request)
    sizes = {str(path): path.stat().st_size for path in made.paths if path.is_file()}
    if as_json:
        found = {"net": made.net, "format": to, "files": sizes, **dict(made.facts)}
        print_json(found | {"notes": made.notes, "warnings": made.warnings})
        return
    warn(made.warnings)
    click.echo(f"{made.net}, for {to}")
    files = [("file", f"{path}, {format_size(size)}") for path, size in sizes.items()]
    print_columns([*made.facts, *(("note", sentence) for sentence in made.notes), *files])
