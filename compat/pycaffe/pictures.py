"""Reads picture files as pycaffe's `load_image` does, which is scikit-image's `imread`, and crops them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ...runtime.pictures import WARNINGS_LOCK, WITH_ALPHA, decode

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]
GREY = np.array([0.2125, 0.7154, 0.0721])  # of red, green, blue: ITU-R BT.709, as scikit-image has it
WHOLE_MODES = ("L", "LA", "RGB", "RGBA", "F")
LARGEST = {"u1": 255, "u2": 65535, "i4": 2**31 - 1}  # by dtype: the number that becomes 1


def load_image(filename: str | Path | IO[bytes], color: bool = True) -> Array:
    """Read a picture file, by name or opened: f32 [H,W,3], red, green, blue, or, with `color=False`, [H,W,1]; 0..1.

    As pycaffe: an EXIF orientation is not followed, alpha is dropped, 16 bits stay precise, grey is 0.2125 R +
    0.7154 G + 0.0721 B. Other than pycaffe: of several frames the first is read, CMYK and palettes become RGB, a float
    TIFF may exceed 1. FileNotFoundError without a file; ValueError if it cannot be read as a picture.
    """
    if isinstance(filename, str | Path) and not Path(filename).exists():
        raise FileNotFoundError(f"{filename}: there is no such file")
    with WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is read all the same
        image = decode(Path(filename) if isinstance(filename, str) else filename, to_numbers)
    if color:
        image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    elif image.shape[2] == 3:
        image = (image @ GREY)[:, :, np.newaxis]
    return image.astype(np.float32)


def to_numbers(picture: Image) -> Array:
    """The pixels as float64 [H,W,1] or [H,W,3], 0..1."""
    if picture.mode == "1":
        picture = picture.convert("L")
    elif not (picture.mode in WHOLE_MODES or picture.mode.startswith("I")):
        picture = picture.convert("RGBA" if picture.mode in ("P", "PA") else "RGB")
    if picture.mode in WITH_ALPHA:
        picture = picture.convert(WITH_ALPHA[picture.mode])
    pixels = np.asarray(picture)
    found = pixels / LARGEST.get(pixels.dtype.str[1:], 1)
    return found[:, :, np.newaxis] if found.ndim == 2 else found


def oversample(images: Iterable[Array], crop_dims: Sequence[int]) -> Array:
    """Ten crops of each image [H,W,K]: the corners, the centre, and the mirror images of these; f32 [10*N,h,w,K].

    The order is top left, top right, bottom left, bottom right, centre. ValueError for images smaller than the crop.
    """
    images = list(images)
    height, width = int(crop_dims[0]), int(crop_dims[1])
    high, wide = (int(size) for size in images[0].shape[:2])
    if high < height or wide < width:
        raise ValueError(f"crops of {height}x{width} do not fit into an image of {high}x{wide}")
    corners = [(top, left) for top in (0, high - height) for left in (0, wide - width)]
    starts = [*corners, ((high - height) // 2, (wide - width) // 2)]
    crops = np.empty((10 * len(images), height, width, images[0].shape[-1]), np.float32)
    for number, image in enumerate(images):
        for place, (top, left) in enumerate(starts, 10 * number):
            crops[place] = image[top : top + height, left : left + width]
            crops[place + 5] = crops[place, :, ::-1]
    return crops
