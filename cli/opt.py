"""`cortado opt`: run any passes, in any order, on a net or a dump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .files import OutputFile, command_inputs, keep_stdout_free, report_write_errors, require_writable
from .options import make_options, net_options
from .screen import show_progress, warn


@click.command(short_help="Run any passes on a net, and print the result.")
@net_options
@click.option("-p", "--passes", "names", metavar="PASS,PASS", help="The passes, in this order. Default: all.")
@click.option(
    "-o", "file", type=OutputFile(), metavar="FILE.net", help="Write the net here, with its weights beside it."
)
def opt(net: str, weights: str | None, reading: dict[str, Any], names: str | None, file: str | None) -> None:
    """Run passes on NET (.prototxt, .net at any stage, or a compiled .cortado) and print the result.

    NET is - for a text on standard input: cortado show deploy.prototxt | cortado opt - -p fuse. To run the reproducer
    of a pass that failed: cortado opt before.net -p fuse.
    """
    if file:
        require_writable(file, weights_beside(file))
    with show_progress(f"reading {net}"):
        from ..compilation import run_passes
        from ..compiler.text import show
        from ..compiler.text.weights import write_texts
        from ..driver import read_net
        from ..passes import pipeline, select
        from ..plugins import load_plugins

        load_plugins()
        options = make_options(reading, net=net)
        words = [word.strip() for word in names.split(",") if word.strip()] if names is not None else []
        passes = pipeline() if names is None else select(words)
        read = read_net(net, weights, options)
        final = run_passes(read.planned, options, passes).final
    warn(read.warnings)
    if file is None:
        click.echo(show(*final), nl=False)
        return
    with report_write_errors():
        write_texts({Path(file): final}, weights_beside(file), (*command_inputs(), *read.files))
    with keep_stdout_free(file):
        click.echo(file)


def weights_beside(file: str) -> Path:
    """The file for the weights of a net that is written to `file`."""
    return Path(file).with_suffix(".safetensors")
