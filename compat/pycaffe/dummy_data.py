"""DummyData layers as Caffe has them: their blobs are filled, and a script may write into those that stay so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ...frontends.caffe.data_layers import dummy_shapes
from ...frontends.caffe.random_fillers import draw
from ...frontends.files.message import Message
from ..live_net import LiveLayer
from .blob import CaffeBlob

CONSTANT = "constant"


class DummyFillers:
    """The fillers of the tops of DummyData layers, by name; `shapes` are the tops' sizes.

    A constant is written once, and random numbers at each forward (dummy_data_layer.cpp). They are not Caffe's.
    """

    def __init__(self, layers: Iterable[LiveLayer]) -> None:
        self.fillers: dict[str, Message | None] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.labels: dict[str, str] = {}
        self.random = np.random.default_rng(0)
        for layer in layers:
            if layer.type != "DummyData":
                continue
            fillers = layer.message["dummy_data_param"]["data_filler"]
            if len(fillers) not in (0, 1, len(layer.tops)):
                raise layer.message.fault(
                    f'layer "{layer.name}" has {len(layer.tops)} tops, and {len(fillers)} fillers'
                )
            for index, (top, shape) in enumerate(zip(layer.tops, dummy_shapes(layer.message), strict=True)):
                self.fillers[top] = fillers[index if len(fillers) > 1 else 0] if fillers else None
                self.shapes[top], self.labels[top] = shape, f'layer "{layer.name}" (DummyData)'

    def fill(self, blobs: Mapping[str, CaffeBlob], *, is_first: bool = False) -> None:
        """Write the constants, the first time, or else random numbers. CompileError for a filler that Caffe lacks."""
        for top, filler in self.fillers.items():
            is_constant = filler is None or filler["type"] == CONSTANT
            if filler is not None and is_first == is_constant:
                blobs[top].data[...] = draw(filler, blobs[top].shape, self.random, self.labels[top])
