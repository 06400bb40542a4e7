"""`cortado compile`: compile a net and its weights to one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .files import OutputFile, command_inputs, keep_stdout_free, report_write_errors, require_writable
from .options import PictureOptions, make_options, march_option, net_options, picture_options
from .screen import format_size, print_columns, print_json, show_progress, warn


@click.command(short_help="Compile a net and its weights to one file.")
@net_options
@click.option(
    "-o",
    "file",
    type=OutputFile(),
    metavar="FILE",
    required=True,
    help="Where to write the compiled net: net.cortado; or net.so, a shared library, with net.h beside it.",
)
@click.option("--passes", type=click.Choice(["all", "none"]), default="all", help="none: only the required passes.")
@picture_options
@click.option("--input", "picture_input", metavar="NAME", help="The input that the picture options are for.")
@click.option("--fold", is_flag=True, help="Fold mean and scale into the first weights; refused where it is not exact.")
@march_option("For FILE.so: ")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def compile(
    net: str,
    weights: str | None,
    reading: dict[str, Any],
    file: str,
    passes: str,
    pictures: PictureOptions,
    picture_input: str | None,
    fold: bool,
    march: str | None,
    as_json: bool,
) -> None:
    """Compile NET, a .prototxt or a .net in cortado's language, with WEIGHTS, its .caffemodel or .caffemodel.h5.

    A .caffemodel alone is enough if it holds the layers' settings; its inputs may need --shape. A compiled file as NET
    is compiled again from the source that it keeps, for another --target or --shape.

    The preprocessing of pictures is stored in the file, so that `cortado run` needs no options: the transform_param of
    a data layer, overridden by --mean and the other options. With --fold, mean and scale become part of the weights,
    and the net takes pixels of 0 to 255; channel order, resizing and cropping stay with the runtime.

    FILE.so is machine code for one kind of processor, for programs in C and for cortado.runtime.open_library. Its net
    has to be one whose every step has a kernel in C.
    """
    header = (str(Path(file).with_suffix(".h")),) if (as_library := Path(file).suffix == ".so") else ()
    require_writable(file, *header)
    if march and not as_library:
        raise click.UsageError("--march is for a shared library: -o NAME.so.")
    with show_progress(f"compiling {net}"):
        from ..driver import compile_file, read_net
        from ..exporters.native_plan import compile_native, native_options, require_native_target
        from ..exporters.so import export_library
        from ..exporting import write_export
        from ..runtime.artifact import write
        from .pictures import with_preprocessing
        from .summary import summarize

        if as_library and click.get_current_context().get_parameter_source("target") is ParameterSource.COMMANDLINE:
            require_native_target(reading["target"])
        options = make_options(reading, optimize=passes == "all", fold_preprocessing=fold, net=net)
        read = read_net(net, weights, options)
        if pictures.is_given or picture_input:
            read = with_preprocessing(read, pictures, picture_input)
        if fold and not read.preprocessing:
            raise click.UsageError("--fold: there is no preprocessing to fold. Give --mean, --scale or --raw-scale.")
        with report_write_errors():
            if as_library:
                options = native_options(options, net)
                compilation = compile_native(read, options)
                write_export(export_library(compilation, file, march or ""), command_inputs())
            else:
                compilation = compile_file(read, options)
                write(file, compilation.artifact)
    made = summarize(compilation)
    with keep_stdout_free(file):
        if as_json:
            print_json(made.json() | {"file": file} | ({"header": header[0]} if header else {}))
            return
        warn(made.warnings)
        click.echo(f"{made.net}, compiled for {made.target}")
        size = f", {format_size(Path(file).stat().st_size)}" if Path(file).is_file() else ""
        print_columns([*made.rows(), ("file", f"{file}{size}"), *(("header", path) for path in header)])
