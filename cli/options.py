"""Options that several commands take, and how their values are written on a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..frontends.files.file_types import is_artifact

if TYPE_CHECKING:
    from ..driver import Options

F = TypeVar("F", bound=Callable[..., Any])


def parse_shapes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int | str, ...]]:
    """`data=8,3,224,224`; `?8` is a size that is known when the net runs, and at most 8."""
    found: dict[str, tuple[int | str, ...]] = {}
    for value in values:
        name, _, sizes = value.rpartition("=")
        words = [w.strip() for w in sizes.split(",")]
        if not name:
            raise click.BadParameter(f"{value!r} names no input. Write --shape NAME=1,3,224,224.", ctx, param)
        if bad := [w for w in words if not re.fullmatch(r"\??0*[1-9][0-9]*", w)]:
            advice = "Sizes are whole numbers from 1, as in data=1,3,224,224, or ?8 for at most 8."
            raise click.BadParameter(f"{bad[0]!r} is no size in {value!r}. {advice}", ctx, param)
        if name in found:
            raise click.BadParameter(f"two shapes are given for {name!r}. Keep one of them.", ctx, param)
        found[name] = tuple(w if w.startswith("?") else int(w) for w in words)
    return found


def parse_picture_size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`224`, or height x width: `224x320`."""
    if value is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})?", value):
        raise click.BadParameter(f"{value!r} is no size. Write 224, or height x width: 224x320.", ctx, param)
    height, _, width = value.partition("x")
    return int(height), int(width or height)


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What was said about how pictures become an input; None where nothing was."""

    mean: str | None = None
    scale: float | None = None
    raw_scale: float | None = None
    bgr: bool | None = None
    crop: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None

    @property
    def is_given(self) -> bool:
        return self != PictureOptions()


def combine_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in this order on the help page."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def picture_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets `pictures`."""
    names = tuple(PictureOptions.__dataclass_fields__)

    @wraps(function)
    def wrapper(**given: Any) -> Any:
        return function(pictures=PictureOptions(**{name: given.pop(name) for name in names}), **given)

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = combine_options(
        click.option("--mean", metavar="B,G,R|FILE", help="Subtract: numbers by channel, or an .npy or .binaryproto."),
        click.option("--scale", type=float, help="Multiply by this in the end, as input_scale does."),
        click.option("--raw-scale", type=float, help="The range of a picture's numbers, before the mean: 255, or 1."),
        click.option("--bgr/--rgb", default=None, help="The order of the channels; Caffe's models mostly take bgr."),
        click.option(
            "--crop",
            metavar="H[xW]",
            callback=parse_picture_size,
            help="Cut this from the middle. Without it: the net's own size.",
        ),
        click.option(
            "--resize",
            metavar="H[xW]",
            callback=parse_picture_size,
            help="Resize to this before cutting. Without it: to what is cut.",
        ),
    )
    return decorate(wrapper)


READING_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--shape",
        metavar="NAME=N,C,H,W",
        multiple=True,
        callback=parse_shapes,
        help="The shape of an input, in place of the file's.",
    ),
    click.option("--output", metavar="BLOB", multiple=True, help="Return this blob, not those that nobody reads."),
    click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", help="Layers of this phase."),
    click.option("--stage", multiple=True, help="Layers of this stage, for nets with rules."),
    click.option("--level", type=int, default=0, help="Layers of this level."),
    click.option("--lenient", is_flag=True, help="Warn of fields that Caffe does not have, and pass over them."),
)
TARGETS = (
    "cpu",
    "native",
    "cuda",
    "cuda-f16",
    "cuda-f32-strict",
)  # their names, without loading what knows more of them
PROTOTXT_OPTIONS = (
    "phase",
    "stage",
    "level",
    "lenient",
)  # which layers of a prototxt are meant, and which fields count
OPTION_FIELDS = {
    "shape": "shapes",
    "output": "outputs",
    "stage": "stages",
}  # of driver.Options, where they are called otherwise


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How to read a net. The command gets `reading`: fields of driver.Options."""

    @wraps(function)
    def wrapper(**given: Any) -> Any:
        names = ("shape", "output", "phase", "stage", "level", "lenient")
        return function(reading={OPTION_FIELDS.get(name, name): given.pop(name) for name in names}, **given)

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = combine_options(*READING_OPTIONS)
    return decorate(wrapper)


def net_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """NET, WEIGHTS, a target, and how to read them. The command gets `net`, `weights` and `reading`."""

    @wraps(function)
    def wrapper(reading: dict[str, Any], target: str, weights_file: Any, **given: Any) -> Any:
        if weights_file and given["weights"]:
            raise click.UsageError("Two files of weights are given. Name one, as WEIGHTS or with --weights.")
        given["weights"] = given["weights"] or weights_file
        return function(reading=reading | {"target": target}, **given)

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = combine_options(
        click.argument("net"),
        click.argument("weights", required=False),
        click.option("--target", default="cpu", show_default=True, help=f"To compile for: {', '.join(TARGETS)}."),
        click.option("--weights", "weights_file", metavar="FILE", help="WEIGHTS, by name."),
        reading_options,
    )
    return decorate(wrapper)


def make_options(
    reading: dict[str, Any], *, optimize: bool = True, fold_preprocessing: bool = False, net: str = ""
) -> Options:
    """What `net_options` gathered, as the driver takes it. A compiled `net` stays with its target unless one is named.

    Layers were chosen when it was compiled: UsageError for what would choose them now.
    """
    from ..driver import Options

    if net and is_artifact(net):
        source = click.get_current_context().get_parameter_source
        said = [name for name in PROTOTXT_OPTIONS if source(name) is ParameterSource.COMMANDLINE]
        if said:
            raise click.UsageError(f"--{said[0]} is for a prototxt, and {net} is compiled. Give its prototxt.")
        if source("target") is not ParameterSource.COMMANDLINE:
            from ..runtime.artifact import read_source

            reading = reading | {"target": read_source(net).target}
    return Options(**reading, optimize=optimize, fold_preprocessing=fold_preprocessing)
