"""Reads Caffe weights in HDF5 (NAME.caffemodel.h5): each blob is a dataset `data/<layer>/<index>`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.errors import CompileError
from .blobs import Blob
from .caffemodel import COPY_AGAIN, LayerBlobs, Weights

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MISSING_BLOB = Blob((), False, ())  # Caffe writes no dataset for a blob that is shared from another layer


def is_hdf5(path: str | Path) -> bool:
    """True if the file starts with the HDF5 signature; False if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read(path: str | Path) -> Weights:
    """Read the weights of a file into memory, as float32 or float64. HDF5 weights do not store layer types.

    Raises CompileError if h5py is not installed, or the file is damaged or not written by Net::ToHDF5 (net.cpp).
    """
    try:
        import h5py
    except ImportError:
        raise CompileError(
            f"{path}: HDF5 weights need h5py, which is not installed", advice='pip install "cortado-caffe[hdf5]"'
        ) from None
    try:
        with h5py.File(path, "r") as file:
            check_file_type(file, path)
            layers = tuple(LayerBlobs(name, "", blobs, (), ()) for name, blobs in walk_groups(file["data"], "", path))
    except (OSError, KeyError, RuntimeError) as e:
        raise CompileError(f"{path}: the file is cut off or damaged ({e})", advice=COPY_AGAIN) from None
    if not layers:
        raise CompileError(f"{path}: this file has no layers", advice="Is it a .caffemodel.h5? " + COPY_AGAIN)
    return Weights("", layers)


def check_file_type(file: Any, path: str | Path) -> None:
    """Raise CompileError for Caffe's other HDF5 files: solver states, and data for HDF5Data layers."""
    if "history" in file or "learned_net" in file:
        advice = "It holds the momentum of a training run; the weights are in the .caffemodel.h5 of the same name."
        raise CompileError(f"{path}: this is a .solverstate.h5, not weights", advice=advice)
    if "data" not in file or not hasattr(file["data"], "keys"):
        advice = "Caffe writes blobs as data/<layer>/<index>; give the .caffemodel.h5."
        raise CompileError(f"{path}: this HDF5 file has no weights of a Caffe net", advice=advice)


def walk_groups(group: Any, prefix: str, path: str | Path) -> Iterator[tuple[str, tuple[Blob, ...]]]:
    """Yield each layer's name and blobs. A layer name with slashes is stored as nested groups."""
    for name in group:
        entry = group[name]
        if not hasattr(entry, "keys"):
            continue
        yield from walk_groups(entry, f"{prefix}{name}/", path)
        sets = {int(key): entry[key] for key in entry if key.isdecimal() and hasattr(entry[key], "dtype")}
        if sets:
            layer = prefix + name
            yield (
                layer,
                tuple(
                    read_dataset(sets[i], layer, i, path) if i in sets else MISSING_BLOB for i in range(max(sets) + 1)
                ),
            )
        elif not len(entry):
            yield prefix + name, ()


def read_dataset(dataset: Any, layer: str, index: int, path: str | Path) -> Blob:
    """Read one blob. CompileError if its dtype is not a float type."""
    if dataset.dtype.kind != "f":
        sentence = f'{path}: layer "{layer}": blob {index} has dtype {dataset.dtype}, not a float type'
        raise CompileError(sentence, advice="Was this file written by another program than Caffe?")
    numbers = np.asarray(dataset[()], dataset.dtype.newbyteorder("<"))
    return Blob(numbers.shape, False, (numbers.reshape(-1),))
