"""`cortado upgrade-net-proto-text` and `upgrade-net-proto-binary`: a file of an older Caffe in the current format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..files import OutputFile, keep_stdout_free, report_write_errors, require_writable
from ..screen import format_error, show_progress, warn
from .command import CaffeCommand

if TYPE_CHECKING:
    from ...compiler.errors import CompileError


@click.command("upgrade-net-proto-text", cls=CaffeCommand, short_help="Upgrade a prototxt to the current format.")
@click.argument("source", metavar="IN.prototxt")
@click.argument("out", metavar="OUT.prototxt", type=OutputFile())
def upgrade_net_proto_text(source: str, out: str) -> None:
    """Write IN.prototxt in Caffe's current format, as upgrade_net_proto_text does.

    Layers of 2013 and 2014 (`layers`) become `layer`, inputs at the top an Input layer. Nothing is left out but
    comments, and what Caffe itself drops of files of 2013: a warning names it, and the exit code is 1. A net with its
    weights, and for one phase only, is written by `cortado export --to caffe`.
    """
    require_writable(out)
    with show_progress(f"reading {source}"):
        from ...frontends.caffe.upgrade_file import upgrade_text
        from ...runtime.output import write_file

        made = upgrade_text(source)
        with report_write_errors():
            write_file(out, made.text)
    report(source, out, "text", made.changed, made.dropped)


@click.command(
    "upgrade-net-proto-binary", cls=CaffeCommand, short_help="Upgrade a caffemodel to the current format, with weights."
)
@click.argument("source", metavar="IN.caffemodel")
@click.argument("out", metavar="OUT.caffemodel", type=OutputFile())
def upgrade_net_proto_binary(source: str, out: str) -> None:
    """Write IN.caffemodel in Caffe's current format, as upgrade_net_proto_binary does.

    The bytes of its blobs stay as they are, and of a file that is current already, all that a fork may have added.
    What Caffe itself drops of files of 2013 is told by a warning, and the exit code is 1.
    """
    require_writable(out)
    with show_progress(f"reading {source}"):
        from ...frontends.caffe.upgrade_binary import upgrade_binary
        from ...runtime.output import open_output

        made = upgrade_binary(source)
        with report_write_errors(), open_output(out) as file:
            made.write(file)
    report(source, out, "binary", made.changed, made.dropped)


def report(source: str, out: str, kind: str, changed: bool, dropped: Sequence[CompileError]) -> None:
    """Tell what was done. Exits with 1 if something was dropped."""
    warn(format_error(error) for error in dropped)
    if not changed:
        click.echo(f"File already in latest proto format: {source}", err=True)
    with keep_stdout_free(out):
        click.echo(f"Wrote upgraded NetParameter {kind} proto to {out}")
    if dropped:
        raise click.exceptions.Exit(1)
