"""Fills learnt blobs as Caffe's fillers do, the random ones with a seed: for programs that set the numbers later.

Caffe draws from its own generator, so that the numbers differ, and their distribution does not (filler.hpp).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from zlib import crc32

import numpy as np
import torch

from ..files.message import Message
from .fillers import FILLERS_BY_TYPE, bilinear
from .layer import Layer

VARIANCE_NORMS = {"FAN_IN": 0, "FAN_OUT": 1, "AVERAGE": 2}
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class CaffeFiller:
    """A filler of blobs for `build_graph`: the same numbers for a layer's name, a blob's index and a seed.

    `words` are those of its warnings; without, nothing is said.
    """

    seed: int = 0
    words: str = ""

    def __call__(self, layer: Layer, index: int, shape: tuple[int, ...], role: str) -> tuple[torch.Tensor, str]:
        """Blob `index` of a layer as its filler makes it. CompileError for a filler that Caffe lacks."""
        name, default = filler_of(layer, role.removesuffix(".stored"))
        random = np.random.default_rng([self.seed, crc32(layer.name.encode()), index])
        if not name or name not in layer.param:
            return torch.full(shape, default), self.words
        return torch.from_numpy(draw(layer.param[name], shape, random, layer.label)), self.words


def filler_of(layer: Layer, role: str) -> tuple[str, float]:
    """The setting that holds the filler of a blob by its role, or "", and the constant that Caffe has without one."""
    param = layer.layer_type.param
    known = layer.param.field_types if param else {}
    name, default = FILLERS_BY_TYPE.get((layer.type, role)) or (f"{role.partition('_')[0]}_filler", 0.0)
    return (name, default) if name in known else ("", default)


def draw(filler: Message, shape: tuple[int, ...], random: np.random.Generator, label: str) -> Array:
    """The numbers of one filler; `label` names its layer. CompileError for a filler that Caffe lacks."""
    kind, low, high = filler["type"], filler["min"], filler["max"]
    mean, std, sparse = filler["mean"], filler["std"], filler["sparse"]
    fan_in = prod(shape[1:]) if shape else 1
    fan_out = prod((*shape[:1], *shape[2:]))
    norm = filler.choice("variance_norm", VARIANCE_NORMS, label)
    fan = (fan_in, fan_out, (fan_in + fan_out) / 2)[norm]
    match kind:
        case "constant":
            made = np.full(shape, filler["value"])
        case "uniform":
            made = random.uniform(low, high, shape)
        case "gaussian":
            made = random.normal(mean, std, shape)
            if sparse >= 0 and shape:
                made *= random.random(shape) < sparse / shape[0]
        case "xavier":
            made = random.uniform(-sqrt(3 / fan), sqrt(3 / fan), shape)
        case "msra":
            made = random.normal(0, sqrt(2 / fan), shape)
        case "positive_unitball":
            made = random.random(shape).reshape(shape[0], -1)
            made = (made / made.sum(1, keepdims=True)).reshape(shape)
        case "bilinear" if len(shape) == 4 and shape[2] == shape[3]:
            made = bilinear(shape).numpy()
        case "bilinear":
            raise filler.fault(f"{label}: a bilinear filler takes a square kernel, and the blob is {list(shape)}")
        case _:
            raise filler.fault(
                f'{label}: Caffe has no filler "{kind}"', None, "Write xavier, msra, gaussian or constant, say."
            )
    return np.asarray(made, np.float32)
