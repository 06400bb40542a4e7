"""Sources of a net's learnt blobs: a caffemodel, a function, or none (blobs stay unbound).

Caffe matches weights to layers by name, and silently leaves a layer that the file lacks as its fillers made it. Here
that is an error (see NNEF-Tools#35), or a warning where the prototxt says exactly what they make (fillers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..files import hdf5
from ..files.caffemodel import Blob, LayerBlobs, Weights, read
from ..files.caffemodel_layout import CaffemodelLayout
from ..files.file_types import refuse_library

Shape = tuple[int, ...]
Fill = Callable[[str, str, int, Shape], np.ndarray]
WRONG_FILE_ADVICE = "Is it the caffemodel of this very prototxt? bias_term and the like have to agree."


class MissingBlob(Exception):
    """A blob is missing or does not fit: a sentence, and advice. `whole`: its layer has no blobs at all."""

    def __init__(self, sentence: str, advice: str = "", whole: bool = False) -> None:
        super().__init__(sentence)
        self.sentence, self.advice, self.whole = sentence, advice, whole


class WeightSource(Protocol):
    """A source of weights.

    `blob` returns blob `index` of a layer as float32, None to leave it unbound, or raises MissingBlob.
    """

    def blob(self, layer: str, type: str, index: int, shape: Shape) -> torch.Tensor | None: ...

    def count(self, layer: str) -> int | None:
        """The count of blobs stored for a layer; None if unknown."""

    def is_different(self, layer: str, index: int, owned: torch.Tensor) -> bool:
        """True if the source stores data for a shared blob that differ from its owner's."""

    def layers_like(self, shapes: Sequence[Shape]) -> list[str]:
        """The layers whose stored blobs have these shapes."""


class NoWeights:
    """No weights: all blobs stay unbound, which is enough to inspect a net."""

    def blob(self, layer: str, type: str, index: int, shape: Shape) -> torch.Tensor | None:
        return None

    def count(self, layer: str) -> int | None:
        return None

    def is_different(self, layer: str, index: int, owned: torch.Tensor) -> bool:
        return False

    def layers_like(self, shapes: Sequence[Shape]) -> list[str]:
        return []


@dataclass(frozen=True)
class FunctionWeights:
    """Weights from a function (layer, type, index, shape) -> array of that shape."""

    fill: Fill

    def blob(self, layer: str, type: str, index: int, shape: Shape) -> torch.Tensor | None:
        made = np.array(self.fill(layer, type, index, shape), dtype=np.float32, order="C", copy=None)
        if made.shape != shape:
            raise MissingBlob(f"the function for weights gave {list(made.shape)} for blob {index}, not {list(shape)}")
        return torch.from_numpy(made)

    def count(self, layer: str) -> int | None:
        return None

    def is_different(self, layer: str, index: int, owned: torch.Tensor) -> bool:
        return False  # the function is called for owners only

    def layers_like(self, shapes: Sequence[Shape]) -> list[str]:
        return []


class FileWeights:
    """Weights of a caffemodel, by layer name."""

    def __init__(self, weights: Weights, file: str) -> None:
        self.file = file
        self.layers: dict[str, LayerBlobs] = {}
        for layer in weights.layers:
            if layer.blobs or layer.name not in self.layers:
                self.layers[layer.name] = layer

    def blob(self, layer: str, type: str, index: int, shape: Shape) -> torch.Tensor | None:
        stored = self.layers.get(layer)
        if stored is None or not stored.blobs:
            raise MissingBlob(f"{self.file} has no weights for it", self.others(layer), whole=True)
        if index >= len(stored.blobs):
            has = len(stored.blobs)
            advice = WRONG_FILE_ADVICE
            raise MissingBlob(f"{self.file} has {has} blobs for it, and blob {index} is needed", advice)
        blob = stored.blobs[index]
        if blob.is_missing:
            advice = "Such a blob is another layer's, shared by param { name }: is this the right prototxt?"
            raise MissingBlob(f"{self.file} has no data for its blob {index}", advice)
        if not has_shape(blob, shape):
            advice = "Is it the caffemodel of this very prototxt?"
            sentence = f"blob {index} is {list(blob.shape)} in {self.file}, and the net needs {list(shape)}"
            raise MissingBlob(sentence, advice)
        data = np.ascontiguousarray(blob.data)  # numbers that are not packed lie apart
        return torch.from_numpy(data).reshape(shape).to(torch.float32)

    def count(self, layer: str) -> int | None:
        stored = self.layers.get(layer)
        return len(stored.blobs) if stored and stored.blobs else None

    def is_different(self, layer: str, index: int, owned: torch.Tensor) -> bool:
        stored = self.layers.get(layer)
        if stored is None or index >= len(stored.blobs) or stored.blobs[index].is_missing:
            return False
        theirs = np.asarray(stored.blobs[index].data, np.float32).reshape(-1)
        return not np.array_equal(theirs, owned.numpy().reshape(-1), equal_nan=True)

    def layers_like(self, shapes: Sequence[Shape]) -> list[str]:
        return [
            name
            for name, stored in self.layers.items()
            if len(stored.blobs) == len(shapes) and all(map(has_shape, stored.blobs, shapes))
        ]

    def others(self, layer: str) -> str:
        """Advice for a layer without weights: the layers that have some."""
        with_blobs = [name for name, stored in self.layers.items() if stored.blobs]
        listed = ", ".join(with_blobs[:6]) + (", ..." if len(with_blobs) > 6 else "")
        return f"It has weights for {listed or 'no layer'}. Give the caffemodel that belongs to this prototxt."


WeightsGiven = str | Path | Fill | Weights | FileWeights | None


def has_shape(blob: Blob, shape: Shape) -> bool:
    """True if the shapes agree (Blob::ShapeEquals): a legacy one (4-D; 5-D in C3D) may have extra leading ones."""
    missing = len(blob.shape) - len(shape) if blob.legacy else 0
    return (1,) * missing + shape == tuple(blob.shape)


def read_weights(path: str | Path, layout: CaffemodelLayout | None = None) -> Weights:
    """The weights of a .caffemodel, with Caffe's numbers or another `layout`, or .h5. CompileError if it is bad."""
    return hdf5.read(path) if hdf5.is_hdf5(path) else read(path, layout)


def open_file(path: str | Path, layout: CaffemodelLayout | None = None) -> FileWeights:
    """The source for a file of weights. Errors are those of `read_weights`; a library is refused by name."""
    refuse_library(path)
    return FileWeights(read_weights(path, layout), str(path))


def open_weights(weights: WeightsGiven) -> WeightSource:
    """The source for weights given as a file, a function, parsed Weights, or None. CompileError if a file is bad."""
    if weights is None:
        return NoWeights()
    if isinstance(weights, str | Path):
        return open_file(weights)
    if isinstance(weights, FileWeights):
        return weights
    if isinstance(weights, Weights):
        return FileWeights(weights, "the caffemodel")
    return FunctionWeights(weights)
