"""The arrays for a net's inputs, from the files of `--input`."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, is_zipfile

import numpy as np

from ..compiler.errors import CompileError
from ..runtime import Net
from ..runtime.artifact import Preprocessing
from ..runtime.framing import Framing
from ..runtime.pictures import open_picture
from ..runtime.plan import upper_bound
from ..runtime.preprocess import Array, picture_shape, prepare, read_array
from .options import PictureOptions
from .pictures import merge_preprocessing
from .screen import warn

if TYPE_CHECKING:
    from PIL.Image import Image

ARRAY_SUFFIXES = (".npy", ".npz")
UNNAMED = "arr_0"  # what np.savez calls an array that is given no name
PICTURE_SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """A picture file that became a part of an input's batch: its path, pixels, and how the input was made of them."""

    path: Path
    picture: Image
    form: Preprocessing
    frame: Framing


@dataclass(frozen=True, slots=True)
class Feed:
    """The array of each input, and the pictures that the one for pictures was made of, in the order of its batch."""

    arrays: dict[str, Array]
    pictures: tuple[GivenPicture, ...] = ()


def load_inputs(net: Net, given: Sequence[str], pictures: PictureOptions) -> Feed:
    """All inputs; several files for one input become a batch. CompileError if an input has none."""
    feed = load_given_inputs(net, given, pictures)
    if missing := [name for name in net.plan.inputs if name not in feed.arrays]:
        advice = f"The net takes {net.describe_inputs()}: give --input {missing[0]}=FILE."
        raise CompileError(f'the input "{missing[0]}" is not given', advice=advice)
    return feed


def load_given_inputs(net: Net, given: Sequence[str], pictures: PictureOptions) -> Feed:
    """The inputs that files are given for."""
    parts: dict[str, list[Array]] = defaultdict(list)
    shown: dict[str, list[GivenPicture]] = defaultdict(list)
    for word in given:
        name, path = parse_input_argument(net, word)
        if name is None or (path.suffix.lower() == ".npz" and path == Path(word)):
            for name, array in read_archive(net, path).items():
                parts[name].append(array)
        elif path.suffix.lower() in ARRAY_SUFFIXES:
            parts[name].append(add_batch_axis(net, name, read_named_array(path, name)))
        else:
            array, picture = read_picture(net, name, path, pictures)
            parts[name].append(array[None])
            shown[name].append(picture)
    if pictures.is_given and not shown:
        warn(["the options for pictures have no effect: arrays are not preprocessed"])
    whole = [found for name, found in shown.items() if len(found) == len(parts[name])]  # a batch without arrays
    arrays = {name: concatenate_batch(name, part) for name, part in parts.items()}
    return Feed(arrays, tuple(whole[0]) if len(whole) == 1 else ())


def split_folder(net: Net, given: Sequence[str]) -> list[list[str]]:
    """The files of each run: those given, or, if one is a folder, its pictures in batches of the net's size.

    CompileError for two folders, or one without pictures.
    """
    folders = [word for word in given if parse_input_argument(net, word)[1].is_dir()]
    if not folders:
        return [list(given)]
    if len(folders) > 1:
        raise CompileError(f"{folders[0]} and {folders[1]} are folders", advice="Give one folder of pictures.")
    name, folder = parse_input_argument(net, folders[0])
    rest = [word for word in given if word != folders[0]]
    if name is None or any(parse_input_argument(net, word)[0] == name for word in rest):
        raise CompileError(f"{folder}: the input gets other files, too", advice="Give the folder alone.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not paths:
        raise CompileError(f"{folder}: there is no picture in it", advice=f"Pictures end in {listed_suffixes()}.")
    count = max(upper_bound(net.plan.slots[name].dims[0]), 1)
    batches = [paths[i : i + count] for i in range(0, len(paths), count)]
    return [[*(f"{name}={path}" for path in batch), *rest] for batch in batches]


def input_paths(net: Net, batches: Sequence[Sequence[str]]) -> list[Path]:
    """The files of all batches."""
    return [parse_input_argument(net, word)[1] for batch in batches for word in batch]


def picture_paths(paths: Iterable[Path]) -> list[Path]:
    """The files that are read as pictures."""
    return [path for path in paths if path.suffix.lower() not in ARRAY_SUFFIXES]


def listed_suffixes() -> str:
    return ", ".join(sorted(PICTURE_SUFFIXES))


def parse_input_argument(net: Net, word: str) -> tuple[str | None, Path]:
    """The input that a file is for, and the file; None in place of the input for an .npz that may hold several."""
    name, equals, path = word.rpartition("=")
    if not path:
        advice = f"The net takes {net.describe_inputs()}: write NAME=FILE."
        raise CompileError(f'--input "{word}" names no file', advice=advice)
    if equals and name in net.plan.inputs:
        return name, Path(path)
    if equals and not Path(word).exists():
        raise CompileError(f'the net has no input "{name}"', advice=f"It takes {net.describe_inputs()}.")
    if len(net.plan.inputs) == 1:
        return net.plan.inputs[0], Path(word)
    if word.lower().endswith(".npz"):
        return None, Path(word)
    raise CompileError(
        f"{word}: which input is it for?", advice=f"The net takes {net.describe_inputs()}: write NAME={word}."
    )


def read_archive(net: Net, path: Path) -> dict[str, Array]:
    """The arrays of an .npz, by input. CompileError if it holds another one, or none.

    A single array that has no name of its own is for the only input.
    """
    found = read_all_arrays(path)
    if list(found) == [UNNAMED] and len(net.plan.inputs) == 1:
        found = {net.plan.inputs[0]: found[UNNAMED]}
    if not found or any(name not in net.plan.inputs for name in found):
        inputs = f"The net takes {net.describe_inputs()}"
        advice = f"{inputs}: save arrays by these names alone, or each as an .npy."
        raise CompileError(f"{path}: it holds {', '.join(found) or 'nothing'}", advice=advice)
    return {name: add_batch_axis(net, name, array) for name, array in found.items()}


def read_named_array(path: Path, name: str) -> Array:
    """The array of that name in an .npz, else the only one in the file."""
    if path.suffix.lower() == ".npz":
        with open_npz(path) as arrays:
            if name in arrays.files:
                found: Array = arrays[name]
                return found
    return read_array(path)


def open_npz(path: Path) -> np.lib.npyio.NpzFile:
    """Open an .npz. CompileError if it is not one, or cannot be read."""
    try:
        with path.open("rb") as file:
            array, archive = file.read(6) == b"\x93NUMPY", is_zipfile(file)
    except OSError as e:
        raise CompileError(f"{path}: {e.strerror or e}", advice="Give the path of an .npz.") from None
    if array:
        raise CompileError(f"{path}: this is an .npy file", advice="Rename it to .npy.")
    if not archive:
        raise CompileError(f"{path}: this is not an .npz, or is incomplete", advice="Write it with np.savez.")
    found: np.lib.npyio.NpzFile = np.load(path, allow_pickle=False)
    return found


def read_all_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an .npz. CompileError if one cannot be read, or holds pickled objects."""
    found: dict[str, Array] = {}
    with open_npz(path) as arrays:
        for name in arrays.files:
            try:
                found[name] = arrays[name]
            except (OSError, ValueError, EOFError, BadZipFile, zlib.error):
                advice = "Only arrays of numbers can be read: np.savez(file, conv1=...). Is the file complete?"
                raise CompileError(f'{path}: its array "{name}" cannot be read', advice=advice) from None
    return found


def add_batch_axis(net: Net, name: str, array: Array) -> Array:
    """The array with a batch axis in front, if it lacks one dimension."""
    return array[None] if array.ndim == len(net.plan.slots[name].dims) - 1 else array


def read_picture(net: Net, name: str, path: Path, pictures: PictureOptions) -> tuple[Array, GivenPicture]:
    """One picture as f32 [C,H,W], preprocessed as the compiled file and the options say; options take precedence."""
    form, image = find_preprocessing(net, name, pictures)
    channels, size = picture_shape(net.plan.slots[name].bounds, path)
    picture = open_picture(path, channels)
    frame = Framing.of((picture.height, picture.width), form, size)
    return prepare(picture, size, form, image), GivenPicture(path, picture, form, frame)


def find_preprocessing(net: Net, name: str, pictures: PictureOptions) -> tuple[Preprocessing, Array | None]:
    """What becomes of pictures for an input, and the mean picture. CompileError if it does not fit the input."""
    kept = net.artifact.preprocessing.get(name, Preprocessing())
    image = net.artifact.weights[kept.mean_image].numpy() if kept.mean_image else None
    form, image = merge_preprocessing(pictures, kept, image)
    form.require_fits(name, net.plan.slots[name].dims, image.shape if image is not None else None)
    return form, image


def concatenate_batch(name: str, arrays: list[Array]) -> Array:
    try:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    except ValueError as e:
        raise CompileError(f'the files for "{name}" cannot be stacked to a batch: {e}') from None
