"""Reads pictures and converts them to a net's inputs, as pycaffe's io.Transformer does."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from .framing import Framing
from .pictures import open_picture
from .preprocessing import Preprocessing, Size
from .spec import upper_bound

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]
NPY_MAGIC = b"\x93NUMPY"


def read_input(path: str | Path, shape: Sequence[int], form: Preprocessing, mean_image: Array | None = None) -> Array:
    """Read a file as one input without the batch axis: f32 [C,H,W] for a picture.

    An .npy file (or .npz with one array) is a blob and is not preprocessed; a first axis of 1 is dropped if the array
    has the rank of `shape`, the net's [N,C,H,W]. ValueError, with the file's name, if it cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        array = read_array(path)
        return array[0] if array.ndim == len(shape) and array.shape[:1] == (1,) else array
    channels, size = picture_shape(shape, path)
    return prepare(open_picture(path, channels), size, form, mean_image)


def picture_shape(shape: Sequence[int], given: object) -> tuple[int, Size]:
    """The channels and the (height, width) of an input [N,C,H,W]. ValueError, begun with `given`, for another."""
    if len(shape) != 4:
        raise ValueError(f"{given}: a picture needs an input [N,C,H,W], and this one is {list(shape)}")
    return shape[1], (shape[2], shape[3])


def picture_input(inputs: Mapping[str, Sequence[object]], wanted: str | None = None) -> str:
    """The input for pictures: the `wanted` one, or the first [N,C,H,W] of 1 or 3 channels. ValueError if none."""
    described = ", ".join(f"{name} [{', '.join(map(str, dims))}]" for name, dims in inputs.items()) or "none"
    if wanted is not None and wanted not in inputs:
        raise ValueError(f'the net has no input "{wanted}" for pictures; its inputs are {described}')
    images = [name for name, dims in inputs.items() if len(dims) == 4 and dims[1] in (1, 3)]
    if wanted is None and not images:
        raise ValueError(f"pictures go to an input [N,C,H,W] of 1 or 3 channels; the inputs are {described}")
    return wanted or images[0]


def prepare_pictures(
    pictures: Sequence[str | Path | Image | Array],
    inputs: Mapping[str, Sequence[int | str]],
    forms: Mapping[str, Preprocessing],
    means: Mapping[str, Array],
    wanted: str | None,
) -> Array:
    """Pictures as an input of a net, f32 [N,C,H,W]; `forms`, mean pictures and dims are by input. See `Net.prepare`."""
    name = picture_input(inputs, wanted)
    form = forms.get(name, Preprocessing())
    channels, size = picture_shape([upper_bound(dim) for dim in inputs[name]], f'input "{name}"')
    ready = [prepare(to_picture(p, channels), size, form, means.get(name)) for p in pictures]
    return np.stack(ready) if ready else np.empty((0, channels, *(form.crop or size)), np.float32)


def to_picture(given: str | Path | Image | Array, channels: int) -> Image:
    """A picture of `channels` (3: RGB; 1: grey) from a file, Pillow's picture, or u8 [H,W,3] of RGB or [H,W] of grey.

    ValueError if the file cannot be read, or the array is no such picture.
    """
    if isinstance(given, str | Path):
        return open_picture(Path(given), channels)
    from PIL.Image import Image as Picture
    from PIL.Image import fromarray

    if not isinstance(given, Picture):
        array = np.asarray(given)
        if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
            described = f"{array.dtype} {list(array.shape)}"
            raise ValueError(f"a picture is an array u8 [height, width, 3] of RGB, or [height, width], not {described}")
        given = fromarray(array)
    return given.convert("L" if channels == 1 else "RGB")


def read_array(path: Path) -> Array:
    """Read the single array of an .npy or .npz file. ValueError for several arrays, or pickled objects."""
    try:
        with path.open("rb") as file:
            head = file.read(len(NPY_MAGIC))
        if not head.startswith((NPY_MAGIC, b"PK")):
            raise ValueError(f"it is no .npy or .npz file{': it is empty' if not head else ''}")
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            names = found.files
            if len(names) != 1:
                raise ValueError(f"it holds {', '.join(names) or 'nothing'}, and one array is wanted")
            made: Array = found[names[0]]
            return made
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        why = "it holds Python objects, and numbers are wanted" if "allow_pickle" in str(error) else str(error)
        raise ValueError(f"{path}: it cannot be read as an array ({why})") from None


def prepare(picture: Image, size: tuple[int, int], form: Preprocessing, mean_image: Array | None = None) -> Array:
    """Convert a picture, RGB or grey, to f32 [C,H,W]. `size`: the net's (height, width), if `form` has no crop.

    Resizing is Pillow's bilinear filter on 8-bit pictures, which averages when shrinking (pycaffe's does not).
    """
    from PIL.Image import Resampling

    frame = Framing.of((picture.height, picture.width), form, size)
    crop, (height, width) = frame.cut, frame.resized
    if picture.size != (width, height):
        picture = picture.resize((width, height), Resampling.BILINEAR)
    pixels: Array = np.asarray(picture)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if form.bgr:
        pixels = pixels[::-1]
    data = pixels.astype(np.float32)
    if form.raw_scale != 255:
        data *= np.float32(form.raw_scale / 255)
    if mean_image is not None and mean_image.shape[1:] == data.shape[1:]:
        data -= mean_image  # a mean of uncropped pictures is subtracted before cropping
        return np.ascontiguousarray(center_crop(data, crop) * np.float32(form.scale))
    data = center_crop(data, crop)
    if mean_image is not None:
        if mean_image.shape[0] != len(data):
            raise ValueError(f"the mean picture has {mean_image.shape[0]} channels, the net takes {len(data)}")
        data = data - center_crop(mean_image, crop)
    if form.mean:
        if len(form.mean) not in (1, len(data)):
            raise ValueError(f"there are {len(form.mean)} mean values, and the net takes {len(data)} channels")
        data = data - np.asarray(form.mean, np.float32)[:, None, None]
    return np.ascontiguousarray(data * np.float32(form.scale))


def center_crop(data: Array, crop: tuple[int, int]) -> Array:
    """The centre of [C,H,W]; an odd margin is larger at the bottom and right, as in Caffe's data layer."""
    top, left = ((size - wanted) // 2 for size, wanted in zip(data.shape[1:], crop, strict=True))
    if top < 0 or left < 0:
        raise ValueError(
            f"a picture of {data.shape[1]}x{data.shape[2]} cannot be cut to {crop[0]}x{crop[1]}; resize it to more"
        )
    return data[:, top : top + crop[0], left : left + crop[1]]


def read_mean(path: str | Path) -> Array:
    """Read a mean from an .npy file: a picture, f32 [C,H,W], or one number per channel, f32 [C]."""
    mean = read_array(Path(path)).astype(np.float32)
    mean = mean[0] if mean.ndim == 4 and len(mean) == 1 else mean
    if mean.ndim not in (1, 3):
        raise ValueError(f"{path}: a mean is [C] or [C,H,W], not {list(mean.shape)}")
    return mean


def read_labels(path: str | Path) -> list[str]:
    """Read labels, one per line, as in ImageNet's synset_words.txt; the line is kept whole, with its id.

    Empty lines at the end are no labels. ValueError, with the file's name and how to convert it, if it is not UTF-8.
    """
    data = Path(path).read_bytes()
    if b"\0" in data or data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "UTF-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else f"UTF-16{'LE' if data[0] else 'BE'}"
        sentence = f"{path}: this seems to be {encoding} text, and labels are UTF-8"
        raise ValueError(f"{sentence}. Convert it: iconv -f {encoding} -t UTF-8 {path} > labels-utf8.txt")
    try:
        text = data.decode("utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        sentence = f"{path}:{line}: byte 0x{byte:02X} is not UTF-8 text; it seems to be Latin-1"
        raise ValueError(f"{sentence}. Convert it: iconv -f ISO-8859-1 -t UTF-8 {path} > labels-utf8.txt") from None
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if text else []


def top(scores: Array, count: int = 5, labels: Sequence[str] = ()) -> list[tuple[float, int, str]]:
    """The `count` largest scores, of any shape, as (score, flat index, label), descending; ties by index."""
    flat = np.asarray(scores).reshape(-1)
    order = np.argsort(-flat, kind="stable")[:count]
    return [(float(flat[i]), int(i), labels[i] if i < len(labels) else "") for i in order]
