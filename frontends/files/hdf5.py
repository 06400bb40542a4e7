"""Reads Caffe weights in HDF5 (NAME.caffemodel.h5): each blob is a dataset `data/<layer>/<index>`."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.errors import CompileError
from ...compiler.limits import MAX_NODES, size_fault
from ...compiler.types import TensorType
from .blobs import Blob
from .caffemodel import COPY_AGAIN, MAX_BLOBS, LayerBlobs, Weights

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 32  # slashes in a layer's name
EXPANSION, MIN_BUDGET = 32, 1 << 26  # bytes that a file may unpack to: so many times its own, or so many
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
            budget = Budget(max(MIN_BUDGET, EXPANSION * Path(path).stat().st_size))
            layers = tuple(
                LayerBlobs(name, "", blobs, (), ()) for name, blobs in walk_groups(file["data"], "", path, budget)
            )
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, SystemError) as e:
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


class Budget:
    """How many bytes of numbers and how many entries may still be read from a file."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes, self.entries = nbytes, MAX_NODES

    def spend(self, nbytes: int, path: str | Path) -> None:
        """One more entry, with so many bytes of numbers. CompileError if that is too much."""
        self.nbytes, self.entries = self.nbytes - nbytes, self.entries - 1
        if self.nbytes < 0:
            sentence = f"{path}: it unpacks to more than {EXPANSION} times its size"
            raise CompileError(sentence, advice="Numbers that were trained do not compress so well. " + COPY_AGAIN)
        if self.entries < 0:
            raise CompileError(f"{path}: it has more than {MAX_NODES} entries", advice=COPY_AGAIN)


def walk_groups(group: Any, prefix: str, path: str | Path, budget: Budget) -> Iterator[tuple[str, tuple[Blob, ...]]]:
    """Yield each layer's name and blobs. A layer name with slashes is stored as nested groups."""
    if prefix.count("/") > MAX_DEPTH:
        raise CompileError(f"{path}: its groups are nested deeper than {MAX_DEPTH}", advice=COPY_AGAIN)
    for name in group:
        budget.spend(0, path)
        check_link(group, name, path)
        entry = group[name]
        if not hasattr(entry, "keys"):
            continue
        yield from walk_groups(entry, f"{prefix}{name}/", path, budget)
        sets = {}
        for key in entry:
            if key.isdecimal():
                check_link(entry, key, path)
                if hasattr(entry[key], "dtype"):
                    sets[int(key)] = entry[key]
        layer = prefix + name
        if sets and max(sets) >= MAX_BLOBS:
            raise CompileError(f'{path}: layer "{layer}": it has a blob {max(sets)}', advice=COPY_AGAIN)
        if sets:
            yield (
                layer,
                tuple(
                    read_dataset(sets[i], layer, i, path, budget) if i in sets else MISSING_BLOB
                    for i in range(max(sets) + 1)
                ),
            )
        elif not len(entry):
            yield layer, ()


def check_link(group: Any, name: str, path: str | Path) -> None:
    """CompileError for a link to another place or file: Caffe writes none."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        advice = "Write the weights themselves into the file."
        raise CompileError(f"{path}: {name} is a link to another place", advice=advice)


def read_dataset(dataset: Any, layer: str, index: int, path: str | Path, budget: Budget) -> Blob:
    """Read one blob. CompileError if its dtype is not a float type, or its numbers are not in the file."""
    where = f'{path}: layer "{layer}": blob {index}'
    if dataset.dtype.kind != "f":
        sentence = f"{where} has dtype {dataset.dtype}, not a float type"
        raise CompileError(sentence, advice="Was this file written by another program than Caffe?")
    if dataset.shape is None or dataset.is_virtual or dataset.external:
        raise CompileError(f"{where} has no numbers in this file", advice="Write the weights themselves into the file.")
    if fault := size_fault(TensorType("f32", dataset.shape)):
        raise CompileError(f"{where} {fault}", advice=COPY_AGAIN)
    budget.spend(max(dataset.size, prod(dataset.chunks or ())) * dataset.dtype.itemsize, path)
    numbers = np.asarray(dataset[()], dataset.dtype.newbyteorder("<"))
    return Blob(numbers.shape, False, (numbers.reshape(-1),))
