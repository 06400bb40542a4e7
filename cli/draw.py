"""Pictures of what a net gave: boxes of detections, the mask of a segmentation, or the picture that it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from colorsys import hsv_to_rgb
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ..compiler.errors import CompileError
from ..runtime.preprocess import Array
from .files import report_write_errors
from .results import Found, Viewer

if TYPE_CHECKING:
    from PIL.Image import Image

    from .feed import Feed, GivenPicture

WRITTEN = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
GOLDEN = 0.618034  # a part of the circle of hues
OPACITY = 0.55  # of a mask over its picture
LINE = 250  # a box's line has one pixel for so many of the picture's longer side


def draw(outputs: Mapping[str, Array], viewer: Viewer, feed: Feed, way: str | None) -> list[Image]:
    """A picture for each one that was given. CompileError if no output can be drawn (in this way)."""
    for name, array in outputs.items():
        found = viewer.detections(name, array, feed)
        kind = "boxes" if found is not None else kind_of(array, len(feed.pictures), way)
        if kind is None or way not in (None, kind):
            continue
        if kind == "boxes":
            shown = [d for d in found or () if d.score >= viewer.least]
            return [draw_boxes(p, [d for d in shown if d.image == i]) for i, p in enumerate(feed.pictures)]
        make = draw_mask if kind == "mask" else make_picture
        return [make(p, array[i]) for i, p in enumerate(feed.pictures)]
    given = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    advice = "Drawn are detections, scores of each pixel's classes [N,C,H,W], and pictures [N,3,H,W] or [N,1,H,W]."
    raise CompileError(f"there is nothing to draw{f' as {way}' if way else ''}: the net gives {given}", advice=advice)


def kind_of(array: Array, pictures: int, way: str | None) -> str | None:
    """How an image [N,C,H,W] is drawn; None if it is none, or `way` (mask or picture) does not fit it."""
    if array.ndim != 4 or len(array) != pictures or min(array.shape[2:]) < 2:
        return None
    fits = {"mask"} if array.shape[1] > 1 or is_whole(array) else set[str]()
    fits |= {"picture"} if array.shape[1] in (1, 3) else set()
    if way is not None:
        return way if way in fits else None
    return "mask" if "picture" not in fits or (array.shape[1] == 1 and is_whole(array)) else "picture"


def is_whole(array: Array) -> bool:
    """True for numbers of classes: whole, from 0 to 255."""
    return bool(array.size) and bool(((array == np.floor(array)) & (array >= 0) & (array < 256)).all())


def draw_boxes(given: GivenPicture, found: Sequence[Found]) -> Image:
    """The picture with the boxes, class and score of each detection, the best on top."""
    from PIL import ImageDraw, ImageFont

    made = given.picture.convert("RGB")
    width, pen = max(1, max(made.size) // LINE), ImageDraw.Draw(made)
    font = ImageFont.load_default(max(12, max(made.size) // 40))
    for d in reversed(found):
        colour = box_colour(d.label)
        left, top, right, bottom = d.box
        pen.rectangle((min(left, right), min(top, bottom), max(left, right), max(top, bottom)), None, colour, width)
        text = f"{d.name or d.label} {d.score:.2f}"
        under = pen.textbbox((left + width, top + width), text, font)
        pen.rectangle(under, colour)
        pen.text((left + width, top + width), text, "black", font)
    return made


def draw_mask(given: GivenPicture, scores: Array) -> Image:
    """The picture under the colours of the best class of each place, [C,H,W] or [1,H,W] of classes; 0 is clear."""
    from PIL import Image

    classes = (scores.argmax(0) if len(scores) > 1 else scores[0]).astype(np.uint8)
    table = np.array([mask_colour(i) for i in range(256)], np.uint8)
    left, top, right, bottom = given.frame.visible()
    size = max(right - left, 1), max(bottom - top, 1)
    colours = Image.fromarray(table[classes]).resize(size, Image.Resampling.NEAREST)
    clear = Image.fromarray((classes > 0).astype(np.uint8) * round(255 * OPACITY))
    made = given.picture.convert("RGB")
    made.paste(colours, (left, top), clear.resize(size, Image.Resampling.NEAREST))
    return made


def make_picture(given: GivenPicture, pixels: Array) -> Image:
    """The picture that a net makes, [3,H,W] or [1,H,W], in the order of channels and the range of its input's."""
    from PIL import Image

    numbers = np.nan_to_num(pixels.astype(np.float32) * (255 / given.form.raw_scale))
    made = np.clip(np.rint(numbers), 0, 255).astype(np.uint8)
    if len(made) == 1:
        return Image.fromarray(made[0])
    return Image.fromarray(np.ascontiguousarray((made[::-1] if given.form.bgr else made).transpose(1, 2, 0)))


def box_colour(label: int) -> tuple[int, int, int]:
    """A bright colour for a class; those of neighbouring classes are far apart."""
    red, green, blue = hsv_to_rgb(label * GOLDEN % 1, 0.75, 1)
    return round(red * 255), round(green * 255), round(blue * 255)


def mask_colour(label: int) -> tuple[int, int, int]:
    """The colour of a class in the Pascal VOC development kit: the bits of the label, spread over the channels."""
    red = green = blue = 0
    for bit in range(8):
        shift, low = 7 - bit, label >> (3 * bit)
        red |= (low & 1) << shift
        green |= (low >> 1 & 1) << shift
        blue |= (low >> 2 & 1) << shift
    return red, green, blue


def plan_drawings(target: str, paths: Sequence[Path]) -> dict[Path, Path]:
    """Where the drawing of each picture is written: the `target` itself, or NAME.png in it if it is a folder.

    UsageError if the pictures cannot be drawn there. With several pictures the folder is made.
    """
    from ..runtime.output import make_folder

    if not paths:
        raise click.UsageError("--draw draws on pictures, and the inputs are arrays. Give a picture with --input.")
    if len(paths) > 1 and Path(target).exists() and not Path(target).is_dir():
        raise click.UsageError(f"{target} is a file, and several pictures are drawn into a folder. Name a folder.")
    if len(paths) != 1 or Path(target).is_dir():
        with report_write_errors():
            make_folder(Path(target))
        stems = Counter(path.stem for path in paths)
        names = {path: f"{path.stem if stems[path.stem] == 1 else path.name}.png" for path in dict.fromkeys(paths)}
        found = {path: Path(target) / name for path, name in names.items()}
    else:
        found = {paths[0]: Path(target)}
        picture_format(target)
    return found


def picture_format(path: str | Path) -> str:
    """Pillow's format for a file's name. UsageError if it has none."""
    from PIL import Image

    suffix = Path(path).suffix.lower()
    found = Image.registered_extensions().get(suffix)
    if found not in WRITTEN:
        raise click.UsageError(f"--draw {path}: {suffix or 'no ending'} is no format to draw in. Name it out.png.")
    return found


def save_picture(path: Path, picture: Image) -> None:
    """Write a picture in the format that its name says."""
    from ..runtime.output import write_file

    made = BytesIO()
    picture.save(made, picture_format(path))
    with report_write_errors():
        write_file(path, made.getvalue())
