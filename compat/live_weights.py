"""The learnt blobs of a net that a program may read, and change, between runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from sys import getrefcount
from typing import Any

import numpy as np
import torch

from ..frontends.caffe import fillers
from ..frontends.caffe.layer import Layer
from ..frontends.caffe.random_fillers import CaffeFiller
from ..frontends.caffe.weights import FileWeights, MissingBlob, Shape, WeightSource
from ..frontends.files.caffemodel import Weights

Array = np.ndarray[Any, np.dtype[np.float32]]
BlobKey = tuple[str, int]  # a layer's name, and the index of one of its blobs
_HELD_ONCE = {0: np.zeros(0)}
OWN_REFERENCES = getrefcount(_HELD_ONCE[0])  # to an array that only a dictionary holds


@dataclass
class LiveWeights(WeightSource):
    """Where a live net finds its learnt blobs: what a program wrote, the caffemodel, the fillers.

    `used` are the tensors that plans are compiled with, which never change; `live` are the arrays that were handed
    out, which may. `take_changes` makes new tensors of those that did. A layer that the caffemodel lacks is filled as
    Caffe fills it if `fills`; otherwise only where the prototxt says exactly with what, and left unbound elsewhere.
    """

    stored: FileWeights | None
    fills: bool = True
    used: dict[BlobKey, torch.Tensor] = field(default_factory=dict)
    live: dict[BlobKey, Array] = field(default_factory=dict)
    pinned: set[BlobKey] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)  # how many blobs a layer was given, if no more count
    is_changed: bool = False

    @classmethod
    def of(cls, weights: Weights | None, name: str, fills: bool) -> LiveWeights:
        """The blobs of a caffemodel, which errors call `name`; None: there is no caffemodel."""
        return cls(FileWeights(weights, name) if weights is not None else None, fills)

    def blob(self, layer: str, type: str, index: int, shape: Shape) -> torch.Tensor | None:
        """What plans use. MissingBlob if the caffemodel lacks it, or if it does not fit the net."""
        known = self.used.get((layer, index))
        if index >= self.written.get(layer, index + 1):
            known = torch.zeros(shape)
        if known is None:
            if self.stored is None or not self.stored.count(layer):
                raise MissingBlob("there are no weights for it", whole=True)
            known = self.stored.blob(layer, type, index, shape)
            assert known is not None
        elif known.numel() != torch.Size(shape).numel():
            raise MissingBlob(f"blob {index} is {list(known.shape)}, and the net needs {list(shape)}")
        self.used[layer, index] = known.reshape(shape)
        return self.used[layer, index]

    def fill(self, layer: Layer, index: int, shape: Shape, role: str) -> tuple[torch.Tensor | None, str]:
        """A blob that no file has, as its filler makes it; with words for a warning if there is a file."""
        words = "what its filler makes" if self.stored is not None else ""
        try:
            data, exact_words = fillers.fill(layer, index, shape, role)
            words = words and exact_words
        except fillers.InexactFiller:
            if not self.fills:
                return None, ""
            data, words = CaffeFiller(words=words)(layer, index, shape, role)
        self.used[layer.name, index] = data
        return data, words

    def count(self, layer: str) -> int | None:
        return self.stored.count(layer) if self.stored else None

    def is_different(self, layer: str, index: int, owned: torch.Tensor) -> bool:
        """False once a program has written a blob: the owner's numbers are then the program's."""
        return not self.is_changed and self.stored is not None and self.stored.is_different(layer, index, owned)

    def layers_like(self, shapes: Sequence[Shape]) -> list[str]:
        return self.stored.layers_like(shapes) if self.stored else []

    def stored_blobs(self, layer: str) -> list[Array]:
        """Copies of a layer's blobs as they are known without its settings: written, or else in the caffemodel."""
        known = {index: data.numpy().copy() for (name, index), data in self.used.items() if name == layer}
        if self.stored is not None and layer in self.stored.layers:
            for index, blob in enumerate(self.stored.layers[layer].blobs):
                known.setdefault(index, np.array(blob.data, np.float32))
        return [known[index] for index in sorted(known)]

    def array(self, key: BlobKey) -> Array:
        """A blob as an array that the program may write to; the same one at each call."""
        if key not in self.live:
            self.live[key] = np.array(self.used[key].numpy(), np.float32, order="C")
        return self.live[key]

    def write(self, key: BlobKey, data: Array) -> None:
        """Replace a blob. An array that was handed out is updated, if it has as many numbers."""
        made = np.array(data, np.float32, order="C")
        live = self.live.get(key)
        if live is not None and live.size == made.size:
            live[...] = made.reshape(live.shape)
        elif live is not None:
            del self.live[key]
        self.used[key], self.is_changed = torch.from_numpy(made), True

    def write_all(self, layer: str, arrays: Sequence[Array]) -> None:
        """Replace the blobs of a layer; those that it has beyond these, such as a bias, become zero."""
        for index, data in enumerate(arrays):
            self.write((layer, index), data)
        for key in [key for key in self.used if key[0] == layer and key[1] >= len(arrays)]:
            del self.used[key]
            self.live.pop(key, None)
        self.written[layer] = len(arrays)

    def pin(self, key: BlobKey, array: Array | None = None) -> Array:
        """The array of a blob, or another net's in its place; it is compared before each run from now on."""
        if array is not None:
            self.live[key] = array
        self.pinned.add(key)
        return self.array(key)

    def take_changes(self) -> bool:
        """True if an array that was handed out has other numbers than plans use; they are then used from now on.

        An array that nobody refers to any more cannot change, and is dropped.
        """
        found = [key for key, live in self.live.items() if not has_same_bits(live, self.used[key])]
        for key in found:
            self.used[key] = torch.from_numpy(self.live[key].copy())
        self.is_changed |= bool(found)
        for key in [key for key in self.live if key not in self.pinned]:
            if getrefcount(self.live[key]) <= OWN_REFERENCES:
                del self.live[key]
        return bool(found)


def has_same_bits(live: Array, used: torch.Tensor) -> bool:
    """True if the numbers are equal bit by bit, so that a NaN equals itself."""
    return torch.equal(torch.from_numpy(live).view(torch.int32).reshape(-1), used.view(torch.int32).reshape(-1))
