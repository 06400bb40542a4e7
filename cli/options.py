"""Options that several commands share, and the parsing of their values."""

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

# A copy of runtime.presets: --help imports no runtime.
PRESET_NAMES = (
    "caffenet", "vgg", "ssd", "mobilenet", "mobilenet-ssd", "face-ssd", "age-gender", "open-nsfw", "mtcnn", "openpose",
    "hed",
)  # fmt: skip
PROCESSOR_NAMES = ("x86-64-v4", "x86-64-v3", "x86-64", "armv8-a", "generic")  # a copy of runtime.native.machine
MOST_THREADS = 1024  # a copy of runtime.threads
F = TypeVar("F", bound=Callable[..., Any])


def parse_shapes(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int | str, ...]]:
    """Shapes by input from `data=8,3,224,224`; `?8` is a size that is known only at run time, at most 8."""
    found: dict[str, tuple[int | str, ...]] = {}
    for value in values:
        name, _, sizes = value.rpartition("=")
        words = [w.strip() for w in sizes.split(",")]
        if not name:
            raise click.BadParameter(f"{value!r} names no input. Write --shape NAME=1,3,224,224.", ctx, param)
        if bad := [w for w in words if not re.fullmatch(r"\??0*[1-9][0-9]*", w)]:
            advice = "Sizes are whole numbers from 1, as in data=1,3,224,224, or ?8 for at most 8."
            raise click.BadParameter(f"{bad[0]!r} in {value!r} is not a size. {advice}", ctx, param)
        if name in found:
            raise click.BadParameter(f"{name!r} has two shapes. Give one.", ctx, param)
        found[name] = tuple(w if w.startswith("?") else int(w) for w in words)
    return found


def parse_picture_size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Height and width in pixels from `224` or `224x320`."""
    if value is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})?", value):
        raise click.BadParameter(f"{value!r} is not a size. Write 224, or height x width: 224x320.", ctx, param)
    height, _, width = value.partition("x")
    return int(height), int(width or height)


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """The options for preprocessing pictures; None where an option is not given."""

    mean: str | None = None
    scale: float | None = None
    raw_scale: float | None = None
    bgr: bool | None = None
    crop: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    preset: str | None = None

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
    """Add the options for pictures; the command gets `pictures`."""
    names = tuple(PictureOptions.__dataclass_fields__)

    @wraps(function)
    def wrapper(**given: Any) -> Any:
        return function(pictures=PictureOptions(**{name: given.pop(name) for name in names}), **given)

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = combine_options(
        click.option("--mean", metavar="B,G,R|FILE", help="Subtract: numbers by channel, or an .npy or .binaryproto."),
        click.option("--scale", type=float, help="Multiply by this last: Caffe's input_scale."),
        click.option("--raw-scale", type=float, help="The range of pixels, before the mean is subtracted: 255, or 1."),
        click.option("--bgr/--rgb", default=None, help="The order of the channels; most of Caffe's models take bgr."),
        click.option(
            "--crop",
            metavar="H[xW]",
            callback=parse_picture_size,
            help="Crop to this size at the centre. Default: the net's input size.",
        ),
        click.option(
            "--resize",
            metavar="H[xW]",
            callback=parse_picture_size,
            help="Resize to this size before cropping. Default: the size of the crop.",
        ),
        click.option(
            "--preset", type=click.Choice(PRESET_NAMES), help="The preprocessing of a well-known model, then the above."
        ),
    )
    return decorate(wrapper)


def march_option(formats: str) -> Callable[[F], F]:
    """The option for the kind of processor; `formats` begins its help with what it is for."""
    words = f"{formats}the kind of processor that the C is for. Default: this machine's."
    return click.option("--march", type=click.Choice(PROCESSOR_NAMES), help=words)


threads_option = click.option("--threads", type=click.IntRange(1, MOST_THREADS), metavar="N", help="Use N threads.")

READING_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--shape",
        metavar="NAME=N,C,H,W",
        multiple=True,
        callback=parse_shapes,
        help="The shape of an input, in place of the file's.",
    ),
    click.option("--output", metavar="BLOB", multiple=True, help="Return this blob. Default: all that no layer reads."),
    click.option(
        "--start-at", metavar="BLOB", multiple=True, help="Make this inner blob an input; drop what only it needs."
    ),
    click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", help="Use layers of this phase."),
    click.option("--stage", multiple=True, help="Use layers of this stage, in nets with rules."),
    click.option("--level", type=int, default=0, help="Use layers of this level."),
    click.option("--lenient", is_flag=True, help="Warn about fields that Caffe does not have, and ignore them."),
    click.option(
        "--dialect",
        metavar="[TYPE=]NAME",
        multiple=True,
        help="The fork of Caffe whose layers are meant, where forks differ: for all layers, or for those of a type.",
    ),
    click.option(
        "--proto",
        metavar="CAFFE.proto",
        help="Read the files with the fields, numbers and defaults of this fork's caffe.proto.",
    ),
)
# A copy: --help loads no target.
TARGETS = (
    "cpu",
    "native",
    "native-strict",
    "onednn",
    "cuda",
    "cuda-f16",
    "cuda-f32-strict",
    "cuda-pdl",
    "cuda-f16-pdl",
)
PROTOTXT_OPTIONS = ("phase", "stage", "level", "lenient", "dialect", "proto")  # how to read a prototxt
OPTION_FIELDS = {
    "shape": "shapes",
    "output": "outputs",
    "stage": "stages",
    "dialect": "dialects",
}  # option: its field in driver.Options


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for reading a net; the command gets `reading`: fields of driver.Options."""

    @wraps(function)
    def wrapper(**given: Any) -> Any:
        names = ("shape", "output", "start_at", *PROTOTXT_OPTIONS)
        return function(reading={OPTION_FIELDS.get(name, name): given.pop(name) for name in names}, **given)

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = combine_options(*READING_OPTIONS)
    return decorate(wrapper)


def net_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add NET, WEIGHTS, a target and the options for reading; the command gets `net`, `weights` and `reading`."""

    @wraps(function)
    def wrapper(reading: dict[str, Any], target: str, weights_file: Any, **given: Any) -> Any:
        if weights_file and given["weights"]:
            raise click.UsageError("Two files of weights are given. Give one, as WEIGHTS or with --weights.")
        given["weights"] = given["weights"] or weights_file
        return function(reading=reading | {"target": target}, **given)

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = combine_options(
        click.argument("net"),
        click.argument("weights", required=False),
        click.option("--target", default="cpu", show_default=True, help=f"Compile for {', '.join(TARGETS)}."),
        click.option("--weights", "weights_file", metavar="FILE", help="The same as WEIGHTS."),
        reading_options,
    )
    return decorate(wrapper)


def make_options(
    reading: dict[str, Any], *, optimize: bool = True, fold_preprocessing: bool = False, net: str = ""
) -> Options:
    """The driver's options from `reading`. A compiled `net` keeps its target unless --target is given.

    UsageError for an option that selects layers if `net` is compiled already.
    """
    from ..driver import Options

    if net and is_artifact(net):
        source = click.get_current_context().get_parameter_source
        given = [name for name in PROTOTXT_OPTIONS if source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"--{given[0]} is for a prototxt, and {net} is compiled. Give its prototxt.")
        if source("target") is not ParameterSource.COMMANDLINE:
            from ..runtime.artifact import read_source

            reading = reading | {"target": read_source(net).target}
    return Options(**reading, optimize=optimize, fold_preprocessing=fold_preprocessing)
