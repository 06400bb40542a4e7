"""The output of commands on a terminal: columns, formatted sizes and counts, warnings, progress."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from threading import Timer
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from ..compiler.errors import CompileError

T = TypeVar("T")
MIN_COLUMN_WIDTH = 30  # characters of the last column, below which lines are wrapped instead
STATUS_DELAY = 1.0  # seconds before progress is shown


def print_columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
    """Print rows with all columns but the last aligned; on a terminal the first column is coloured."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in table), strict=True)]
    if is_terminal(sys.stdout):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console()
        left = console.width - sum(width + 2 for width in widths)
        if left < min(MIN_COLUMN_WIDTH, max(len(row[-1]) for row in table)):  # let the terminal wrap whole lines
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


def print_json(answer: Any) -> None:
    """Print an answer of dicts, lists and plain values as JSON; NaN and infinities, which JSON lacks, as null."""
    click.echo(json.dumps(replace_non_finite(answer), indent=1, allow_nan=False))


def replace_non_finite(answer: Any) -> Any:
    """The same with None in place of each NaN or infinity."""
    match answer:
        case dict():
            return {key: replace_non_finite(value) for key, value in answer.items()}
        case list() | tuple():
            return [replace_non_finite(value) for value in answer]
        case float() if not isfinite(answer):
            return None
    return answer


def is_terminal(stream: TextIO | None) -> bool:
    """False for a pipe or a file, and for a stream that is closed from the start."""
    return stream is not None and stream.isatty()


def align_right(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows with each column padded on the left to its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [tuple(word.rjust(width) for word, width in zip(row, widths, strict=True)) for row in rows]


def format_size(count: int) -> str:
    """A number of bytes: exact below 100,000, then in MB or GB with two decimals."""
    if count < 100_000:
        return f"{count:,} bytes"
    return f"{count / 1e6:.2f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def format_count(count: int, noun: str) -> str:
    """`1 layer`, `12 layers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_error(e: CompileError) -> str:
    """The error with its location first, in the form that editors recognize; `error:` if it has none."""
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
    """Show progress on a terminal after STATUS_DELAY; nothing in a pipe."""
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


def track_progress(items: Sequence[T], sentence: str) -> Iterator[T]:
    """The items, with a bar on a terminal if there are several, or a line where one takes long; nothing in a pipe."""
    if len(items) == 1:
        with show_progress(sentence):
            yield items[0]
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, sentence, console=console, transient=True, disable=not is_terminal(sys.stderr))
