"""Decodes picture files to 8-bit RGB or grey, as OpenCV's imread does where it and pycaffe's load_image differ.

docs/pictures.md has the table of formats: what OpenCV, pycaffe and this module make of each, as measured.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]
Made = TypeVar("Made")

# What OpenCV reads as well. Pillow has more, and runs Ghostscript for some: a picture must not run a program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
WITH_ALPHA = {"LA": "L", "PA": "RGB", "La": "L", "RGBA": "RGB", "RGBa": "RGB"}  # modes, and what is left without alpha
PLAIN_MODES = ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr")
SIGNED_LIMIT, UNSIGNED_LIMIT = 2**31 - 1, 2**32 - 1  # the largest number of a 32-bit TIFF
UNSIGNED = 1  # TIFF's SampleFormat (tag 339) of unsigned integers
SAMPLE_FORMAT_TAG = 339
WARNINGS_LOCK = Lock()  # the filters of Python's warnings belong to the whole process


def open_picture(path: Path, channels: int) -> Image:
    """Decode a picture file: 8-bit RGB for three channels, 8-bit grey for one; of several frames the first.

    It is turned upright by its EXIF orientation; alpha is dropped, the colours below it stay. Numbers of 16 bits
    become 8 by their high byte; `stretch` says it of 32 bits. ValueError, with the file's name, if it cannot be read
    whole, or has more pixels than twice PIL.Image.MAX_IMAGE_PIXELS (178,956,970 unless a program changes it).
    """
    if channels not in (1, 3):
        raise ValueError(f"{path}: a picture has 1 or 3 channels, and the net takes {channels}; give it an .npy file")
    with WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is read all the same: large pictures, odd metadata
        return decode(path, to_upright).convert("L" if channels == 1 else "RGB")


def to_upright(picture: Image) -> Image:
    """The picture in one of PLAIN_MODES, turned by its EXIF orientation."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(to_plain_mode(picture))


def decode(path: Path | IO[bytes], convert: Callable[[Image], Made]) -> Made:
    """What `convert` makes of a picture file. ValueError, with the file's name, if it cannot be read whole."""
    from PIL import Image, UnidentifiedImageError

    Image.init()
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as picture:
            picture.load()
            return convert(picture)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except UnidentifiedImageError:
        empty = isinstance(path, Path) and path.is_file() and not path.stat().st_size
        reason = "it is empty" if empty else f"it is none of {', '.join(FORMATS)}, or damaged"
        raise ValueError(f"{path}: it cannot be read as a picture: {reason}") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ValueError(f"{path}: it has more than {most:,} pixels, which is the most that is read") from None
    except MemoryError:
        raise ValueError(f"{path}: there is not enough memory for this picture") from None
    except Exception as error:  # of a damaged file a decoder raises whatever it meets
        reason = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
        raise ValueError(f"{path}: it cannot be read as a picture ({reason or type(error).__name__})") from None


def to_plain_mode(picture: Image) -> Image:
    """The picture in one of PLAIN_MODES, with its metadata. ValueError for a mode that has no meaning for a net."""
    from PIL import Image

    if picture.mode in PLAIN_MODES:
        return picture
    if picture.mode == "P":
        colours = picture.convert("RGBA")  # its alpha is a table, which Pillow's way to RGB warns of
        return colours.convert("RGB")
    if picture.mode in WITH_ALPHA:
        whole = picture.convert({"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}.get(picture.mode, picture.mode))
        return whole.convert(WITH_ALPHA[picture.mode])
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format != "TIFF"):
        numbers = np.asarray(picture).astype(np.uint16) >> 8
    elif picture.mode in ("I", "F"):
        numbers = stretch(np.asarray(picture), is_unsigned(picture))
    else:
        raise ValueError(f"its colours are {picture.mode}; save it as RGB")
    made = Image.fromarray(numbers.astype(np.uint8))
    made.info = picture.info  # EXIF, for the orientation
    return made


def is_unsigned(picture: Image) -> bool:
    tags: Any = getattr(picture, "tag_v2", {})
    return picture.mode == "I" and tags.get(SAMPLE_FORMAT_TAG, (UNSIGNED,))[0] == UNSIGNED


def stretch(numbers: Array, unsigned: bool = False) -> Array:
    """Numbers of 32 bits, whole or not, as 0..255, rounded. Files do not say their range, and programs differ in it.

    It is the smallest of 1 (of floats), 255, 65535 and the whole range of a 32-bit integer that holds all numbers.
    ValueError if none does, or one is negative or NaN.
    """
    limits = [255.0, 65535.0]
    if numbers.dtype.kind == "f":
        limits = [1.0, *limits]
    else:
        numbers = numbers.view(np.uint32) if unsigned else numbers
        limits.append(UNSIGNED_LIMIT if unsigned else SIGNED_LIMIT)
    least, most = float(numbers.min(initial=0)), float(numbers.max(initial=0))
    fitting = [limit for limit in limits if least >= 0 and most <= limit]
    if not fitting:
        raise ValueError(f"its numbers go from {least:g} to {most:g}; save it with 8 or 16 bits, or as an .npy file")
    return np.rint(numbers * (255 / fitting[0]))
