"""An instance of a layer in Python for one layer of a net: its blobs, and its calls, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

import numpy as np
import torch

from ...frontends.files.message import Message
from .blob import Array, BlobMemory, BlobVec, CaffeBlob


class OwnBlobs(BlobVec):
    """The learnt blobs of a layer in Python, which the layer adds in its setup."""

    def add_blob(self, *shape: int) -> None:  # type: ignore[override]  # that of other layers refuses
        """Append a blob of zeros."""
        self.append(CaffeBlob(BlobMemory(), ()))
        self[-1].reshape(*shape)


class RunningLayer:
    """An instance of a class. `number` is its layer's in the net, `message` the layer as the file has it.

    `blobs` are learnt ones. While it `replays`, it gives the tops of its last run again, and runs no code.
    """

    def __init__(self, layer_class: type, message: Message, number: int, phase: int) -> None:
        settings = message["python_param"]
        self.number, self.message, self.name = number, message, message["name"]
        self.label = f'layer "{self.name}" ({settings["module"]}.{settings["layer"]})'
        self.instance: Any = layer_class()
        self.instance.param_str = self.instance.param_str_ = settings["param_str"]
        self.instance.phase, self.instance.blobs = phase, OwnBlobs()
        self.bottoms = [CaffeBlob(BlobMemory(), ()) for _ in message["bottom"]]
        shared = dict(zip(message["bottom"], self.bottoms, strict=True))  # a layer may write its bottom in place
        self.tops = [shared.get(name) or CaffeBlob(BlobMemory(), ()) for name in message["top"]]
        self.is_set_up, self.replays, self.lock = False, False, RLock()
        self.made: list[torch.Tensor] = []

    @property
    def blobs(self) -> BlobVec:
        """The learnt blobs; none before the layer is set up."""
        blobs: BlobVec = self.instance.blobs
        return blobs

    def reshape(self, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The shapes of the tops for these of the bottoms."""
        for blob, shape in zip(self.bottoms, shapes, strict=True):
            blob.reshape(*shape)
        if not self.is_set_up:
            self.instance.setup(self.bottoms, self.tops)
            self.is_set_up = True
        self.instance.reshape(self.bottoms, self.tops)
        return [blob.shape for blob in self.tops]

    def infer_shapes(self, settings: Mapping[str, Any], *shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
        with self.lock:
            return self.reshape(shapes)

    def run(self, settings: Mapping[str, Any], *arrays: torch.Tensor) -> list[torch.Tensor]:
        """The tops. ValueError if their shapes depend on the data, which no plan is made for."""
        with self.lock:
            if self.replays and self.made:
                return [tensor.clone() for tensor in self.made]
            due = self.reshape([tuple(array.shape) for array in arrays])
            for blob, array in zip(self.bottoms, arrays, strict=True):
                blob.data[...] = array.numpy()
            self.instance.forward(self.bottoms, self.tops)
            if (made := [blob.shape for blob in self.tops]) != due:
                shapes = " and ".join(", ".join(str(list(s)) for s in each) for each in (made, due))
                raise ValueError(
                    f"{self.label} makes {shapes} by reshape: a shape that depends on data is not supported"
                )
            self.made = [torch.from_numpy(np.array(blob.data)) for blob in self.tops]
            return [tensor.clone() for tensor in self.made]

    def bring_data(self) -> list[Array]:
        """What a layer without bottoms makes: its tops, in whatever shapes."""
        with self.lock:
            self.reshape(())
            self.instance.forward(self.bottoms, self.tops)
            return [blob.data for blob in self.tops]
