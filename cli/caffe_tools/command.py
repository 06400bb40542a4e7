"""What Caffe's tools have in common: the spelling of their options, pictures, errors of pycaffe's stand-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..options import READING_OPTIONS, combine_options

if TYPE_CHECKING:
    from ...runtime.preprocess import Array

Number = TypeVar("Number", int, float)
FLAG = re.compile(r"--?([A-Za-z][A-Za-z_-]+)(=.*)?")


class CaffeCommand(click.Command):
    """A command whose options may be spelled as Caffe's tools have them: `-iterations 10`, `--mean_file=m.npy`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)}
        return super().parse_args(ctx, [respell(word, known) for word in args])


def respell(word: str, known: set[str]) -> str:
    """A word as it is, or the option of this command that it means."""
    found = FLAG.fullmatch(word)
    if found is None:
        return word
    name = f"--{found[1].replace('_', '-')}"
    return f"{name}{found[2] or ''}" if name in known else word


def parse_numbers(kind: type[Number], count: int | None = None, least: Number | None = None) -> Any:
    """A callback for an option of numbers with commas, so many, each `least` or more."""

    def parse(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Number, ...] | None:
        if value is None or value == "":
            return None
        try:
            found = tuple(kind(word) for word in value.split(","))
        except ValueError:
            found = ()
        if not found or (count is not None and len(found) != count):
            wanted = f"{count} numbers" if count else "numbers"
            raise click.BadParameter(f"{value!r} is not {wanted} with commas, like {param.metavar}.", ctx, param)
        if least is not None and min(found) < least:
            raise click.BadParameter(f"{min(found)} in {value!r} is less than {least}.", ctx, param)
        return found

    return parse


def read_mean(path: str | None) -> Array | None:
    """The mean of an .npy, or of a .binaryproto, f32 [C,H,W] or [C]; None without one."""
    if path is None:
        return None
    from ..pictures import parse_mean

    return parse_mean(path)


def shared_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add options of the commands that read nets, as they have them: shape, dialect, proto."""
    return combine_options(*(option for option in READING_OPTIONS if option_name(option) in names))


def option_name(option: Callable[..., Any]) -> str:
    """The name of the parameter that a decorator adds."""
    added: click.Parameter = option(lambda: None).__click_params__[0]
    return added.name or ""


fork_options = shared_options("dialect", "proto")


@contextmanager
def report_caffe_errors() -> Iterator[None]:
    """Raise what pycaffe's stand-in refuses as CompileError, which commands report."""
    from ...compat.pycaffe import CaffeError
    from ...compiler.errors import CompileError

    try:
        yield
    except CaffeError as e:
        raise e.reason or CompileError(str(e)) from None


def find_pictures(words: Sequence[str], suffix: str | None = None) -> list[Path]:
    """The files, and of folders their pictures, in the order of names; with a suffix, those that end in it.

    UsageError for a folder without any.
    """
    from ..feed import PICTURE_SUFFIXES

    found, endings = list[Path](), {f".{suffix.lstrip('.').lower()}"} if suffix else PICTURE_SUFFIXES
    for word in words:
        path = Path(word)
        if not path.is_dir():
            found.append(path)
            continue
        here = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in endings)
        if not here:
            raise click.UsageError(f"{word}: there is no picture in it that ends in {', '.join(sorted(endings))}.")
        found += here
    return found
