"""The output files of commands: checked before the work, and never an input."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click


class OutputFile(click.types.StringParamType):
    """The type of options that name a file to write. All other words of a command line may name files to read."""

    name = "file"


@contextmanager
def report_write_errors() -> Iterator[None]:
    """Raise UsageError for an OutputError."""
    from ..runtime.output import OutputError

    try:
        yield
    except OutputError as e:
        raise click.UsageError(str(e)) from None


def require_writable(*paths: str | Path, inputs: Iterable[str | Path] | None = None) -> None:
    """UsageError unless files can be written at these paths without replacing an input or each other.

    Without `inputs`, all words of the command line that may name files are inputs.
    """
    from ..runtime.output import check_output_files

    with report_write_errors():
        check_output_files(paths, command_inputs() if inputs is None else inputs)


def command_inputs() -> list[str]:
    """All words of the command line that may name input files; for NAME=FILE both the whole and FILE."""
    context = click.get_current_context()
    given = [
        context.params[parameter.name]
        for parameter in context.command.params
        if parameter.name in context.params and not isinstance(parameter.type, OutputFile)
    ]
    words = dict.fromkeys(text for value in given for text in words_of(value))
    files = [word[i:] for word in words for i in [0, *(i + 1 for i, c in enumerate(word) if c == "=")]]
    return [file for file in files if file] + standard_input(words)


def words_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for item in value:
            yield from words_of(item)


def standard_input(words: Iterable[str]) -> list[str]:
    """The file that standard input is redirected from, if one of the words is `-`."""
    try:
        redirected = "-" in words and stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # there is no standard input, or it has no file descriptor
        return []
    return [f"/dev/fd/{sys.stdin.fileno()}"] if redirected else []


@contextmanager
def keep_stdout_free(path: str | Path | None) -> Iterator[None]:
    """Redirect printed text to standard error if the output file is standard output, such as /dev/stdout."""
    from ..runtime.output import is_standard_output

    if path is not None and is_standard_output(path):
        with redirect_stdout(sys.stderr):
            yield
    else:
        yield


class NpzWriter(zipfile.ZipFile):
    """A zip archive that is finished only at the end of its `with`.

    A signal may end the command before: then its file is closed already, and the base class would complain about it.
    """

    def __del__(self) -> None:
        pass


def save_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an .npz, atomically. Unlike np.savez, it accepts an array called `file`."""
    import numpy as np

    from ..runtime.output import open_output

    with report_write_errors(), open_output(path) as file, NpzWriter(file, "w") as archive:
        for key, array in arrays.items():
            name = zipfile.ZipInfo(f"{key}.npy")  # without today's date: equal arrays give equal bytes
            with archive.open(name, "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def save_array(path: str | Path, array: Any) -> None:
    """Write an array as an .npy, atomically."""
    import numpy as np

    from ..runtime.output import open_output

    with report_write_errors(), open_output(path) as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
