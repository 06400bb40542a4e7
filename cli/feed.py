"""The arrays for a net's inputs, from the files of `--input`."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from ..compiler.errors import CompileError
from ..runtime import Net
from ..runtime.artifact import Preprocessing
from ..runtime.preprocess import Array, read_array, read_input
from .options import PictureOptions
from .pictures import merge_preprocessing
from .screen import warn

ARRAY_SUFFIXES = (".npy", ".npz")


def load_inputs(net: Net, given: Sequence[str], pictures: PictureOptions) -> dict[str, Array]:
    """An array for each input; several files for one input become a batch. CompileError if an input has none."""
    arrays = load_given_inputs(net, given, pictures)
    if missing := [name for name in net.plan.inputs if name not in arrays]:
        advice = f"The net takes {net.describe_inputs()}: give --input {missing[0]}=FILE."
        raise CompileError(f'the input "{missing[0]}" is not given', advice=advice)
    return arrays


def load_given_inputs(net: Net, given: Sequence[str], pictures: PictureOptions) -> dict[str, Array]:
    """An array for each input that files are given for."""
    parts: dict[str, list[Array]] = defaultdict(list)
    prepared = False
    for word in given:
        name, path = parse_input_argument(net, word)
        if name is None:
            for name, array in read_archive(net, path).items():
                parts[name].append(array)
        elif path.suffix.lower() in ARRAY_SUFFIXES:
            parts[name].append(add_batch_axis(net, name, read_named_array(path, name)))
        else:
            parts[name].append(read_picture(net, name, path, pictures)[None])
            prepared = True
    if pictures.is_given and not prepared:
        warn(["the options for pictures have no effect: arrays are not preprocessed"])
    return {name: concatenate_batch(name, arrays) for name, arrays in parts.items()}


def parse_input_argument(net: Net, word: str) -> tuple[str | None, Path]:
    """The input that a file is for, and the file; None in place of the input for an .npz that may hold several."""
    name, equals, path = word.rpartition("=")
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
    """The arrays of an .npz whose names are inputs. CompileError if there are none."""
    with open_npz(path) as arrays:
        found = {name: add_batch_axis(net, name, arrays[name]) for name in net.plan.inputs if name in arrays.files}
        if not found:
            held = ", ".join(arrays.files) or "nothing"
            raise CompileError(f"{path}: it holds {held}", advice=f"The net takes {net.describe_inputs()}.")
        return found


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


def read_picture(net: Net, name: str, path: Path, pictures: PictureOptions) -> Array:
    """One picture as f32 [C,H,W], preprocessed as the compiled file and the options say; options take precedence."""
    kept = net.artifact.preprocessing.get(name, Preprocessing())
    image = net.artifact.weights[kept.mean_image].numpy() if kept.mean_image else None
    form, image = merge_preprocessing(pictures, kept, image)
    form.require_fits(name, net.plan.slots[name].dims, image.shape if image is not None else None)
    return read_input(path, net.plan.slots[name].bounds, form, image)


def concatenate_batch(name: str, arrays: list[Array]) -> Array:
    try:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    except ValueError as e:
        raise CompileError(f'the files for "{name}" cannot be stacked to a batch: {e}') from None
