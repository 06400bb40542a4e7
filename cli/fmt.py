"""`cortado fmt`: format texts in cortado's language as the compiler prints them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .files import report_write_errors
from .screen import format_count


@click.command(short_help="Format texts in cortado's language; comments are kept.")
@click.argument("files", nargs=-1, required=True, metavar="FILE.net...")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change, and name it.")
def fmt(files: tuple[str, ...], check: bool) -> None:
    """Format each FILE in place; `-` reads standard input and prints the result."""
    from ..compiler.text.format import format_text
    from ..runtime.output import write_file

    changed = 0
    for file in files:
        if file == "-":
            text = sys.stdin.buffer.read().decode("utf-8", "replace")
            made = format_text(text, "<stdin>")
            if not check:
                click.echo(made, nl=False)
            changed += made != text
            continue
        text = read_net_text(file)
        made = format_text(text, file)
        if made != text:
            changed += 1
            if not check:
                with report_write_errors():
                    write_file(file, made)
            click.echo(f"{file}: {'would change' if check else 'formatted'}", err=True)
    if check and changed:
        click.echo(f"{format_count(changed, 'file')} would change; `cortado fmt` formats them.", err=True)
        raise click.exceptions.Exit(1)


def read_net_text(file: str) -> str:
    """The text of a file. CompileError for a prototxt, and if it is not UTF-8."""
    from ..compiler.encodings import decode_utf8
    from ..compiler.errors import CompileError

    if Path(file).suffix == ".prototxt":
        advice = f"`cortado show {file}` prints the net in cortado's language."
        raise CompileError(f"{file}: this is a prototxt, and fmt is for texts in cortado's language", advice=advice)
    return decode_utf8(Path(file).read_bytes(), file)
