"""What commands put on the screen: pairs in columns, sizes for people, warnings, and a sign of life while they work."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from ..compiler.errors import CompileError

MIN_COLUMN_WIDTH = 30  # characters: a last column that is given fewer is no pleasure to read
STATUS_DELAY = 1.0  # seconds without a sign of life; what is quicker than this needs none


def print_columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
    """Rows of words, their first columns aligned; on a terminal the first is set apart by its colour."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in table), strict=True)]
    if is_terminal(sys.stdout):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console()
        left = console.width - sum(width + 2 for width in widths)
        if left < min(
            MIN_COLUMN_WIDTH, max(len(row[-1]) for row in table)
        ):  # the terminal folds lines better than a column
            for first, *rest in table:
                words = [word.ljust(width) for word, width in zip(rest, widths[1:], strict=False)]
                line = "  ".join([click.style((indent + first).ljust(widths[0]), fg="cyan"), *words, *rest[-1:]])
                click.echo(line.rstrip())
            return
        grid = Table.grid(padding=(0, 2))
        for i in range(len(widths) + 1):
            grid.add_column(style="cyan" if i == 0 else None, no_wrap=i < len(widths))
        for row in table:
            grid.add_row(*(Text(indent + word if i == 0 else word) for i, word in enumerate(row)))
        console.print(grid)
        return
    for row in table:
        words = [word.ljust(width) for word, width in zip(row, widths, strict=False)]
        click.echo((indent + "  ".join([*words, row[-1]])).rstrip())


def is_terminal(stream: TextIO | None) -> bool:
    """False for a pipe or a file, and for a stream that is closed from the start."""
    return stream is not None and stream.isatty()


def align_right(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows of numbers as words, each column as wide as its longest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [tuple(word.rjust(width) for word, width in zip(row, widths, strict=True)) for row in rows]


def format_size(count: int) -> str:
    """Bytes for people: exact up to 100,000, then three digits or so."""
    if count < 100_000:
        return f"{count:,} bytes"
    return f"{count / 1e6:.2f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def format_count(count: int, noun: str) -> str:
    """`1 layer`, `12 layers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_error(e: CompileError) -> str:
    """With the place in front, as editors look for it; what has none begins with `error:`."""
    return str(e) if e.loc else f"error: {e}"


def warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        click.echo(f"warning: {sentence}", err=True)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """What libraries and cortado's own functions warn of is printed as commands print it, without a line of code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        warn([str(message)])

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def show_progress(sentence: str) -> Iterator[None]:
    """Show on a terminal that work goes on, once it has taken a second; nothing in a pipe."""
    if not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(sentence)
    timer = Timer(STATUS_DELAY, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
