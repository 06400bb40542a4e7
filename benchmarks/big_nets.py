"""Makes nets of any size in Caffe's files: VGG-like, without anything to fold or with a BatchNorm at each convolution.

Both have the thirteen convolutions of VGG-16, and its pools. `plain` ends like VGG in large matrix products, which hold
nine tenths of its numbers. In `folding` nearly all are in convolutions, and each of those is followed by BatchNorm and
Scale, so that hardly a weight stays as it is in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from cortado.frontends.files.caffewriter import Layer, write

KINDS = ("plain", "folding")
STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # channels in units of the width, and how many convolutions
PICTURE, CLASSES = 224, 1000
MB = 10**6


@dataclass(frozen=True)
class Learnt:
    """A layer with weights: its text but for name, bottom and top, and the shapes of its blobs."""

    name: str
    type: str
    settings: str
    blobs: tuple[tuple[int, ...], ...]


def files(folder: Path, kind: str, megabytes: float) -> tuple[Path, Path]:
    """A prototxt and a caffemodel of at least so many megabytes, little more. A layer is drawn when it is written."""
    layers = net(kind, next(w for w in range(1, 10_000) if size(net(kind, w)) >= megabytes * MB))
    prototxt, caffemodel = folder / f"{kind}.prototxt", folder / f"{kind}.caffemodel"
    prototxt.write_text(text(kind, layers), "utf-8")
    write(caffemodel, kind, drawn(layers))
    return prototxt, caffemodel


def net(kind: str, width: int) -> list[list[Learnt]]:
    """Stages; a pool follows each of the first five. Channels are units of `width`, which is 64 in VGG."""
    stages, channels = [], 3
    for i, (units, count) in enumerate(STAGES, 1):
        stage = []
        for j in range(1, count + 1):
            stage += convolution(f"{i}_{j}", channels, units * width, kind == "folding")
            channels = units * width
        stages.append(stage)
    if kind == "plain":
        rows = [("fc6", channels * (PICTURE >> 5) ** 2, 64 * width), ("fc7", 64 * width, 64 * width)]
        stages.append([product(*row) for row in rows])
        channels = 64 * width
    return [*stages, [product("classes", channels, CLASSES)]]


def convolution(name: str, taken: int, made: int, normed: bool) -> Iterator[Learnt]:
    settings = f"convolution_param {{ num_output: {made} kernel_size: 3 pad: 1{' bias_term: false' * normed} }}"
    weight = (made, taken, 3, 3)
    yield Learnt(f"conv{name}", "Convolution", settings, (weight,) if normed else (weight, (made,)))
    if normed:
        yield Learnt(f"bn{name}", "BatchNorm", "batch_norm_param { use_global_stats: true }", ((made,), (made,), (1,)))
        yield Learnt(f"scale{name}", "Scale", "scale_param { bias_term: true }", ((made,), (made,)))


def product(name: str, taken: int, made: int) -> Learnt:
    return Learnt(name, "InnerProduct", f"inner_product_param {{ num_output: {made} }}", ((made, taken), (made,)))


def size(stages: list[list[Learnt]]) -> int:
    """Bytes of all blobs."""
    return 4 * sum(prod(shape) for stage in stages for layer in stage for shape in layer.blobs)


def text(kind: str, stages: list[list[Learnt]]) -> str:
    """The prototxt."""
    shape = f"dim: 1 dim: 3 dim: {PICTURE} dim: {PICTURE}"
    lines, top = [f'name: "{kind}"', f'input: "data" input_shape {{ {shape} }}'], "data"

    def line(name: str, type: str, bottom: str, settings: str = "") -> str:
        lines.append(f'layer {{ name: "{name}" type: "{type}" bottom: "{bottom}" top: "{name}" {settings} }}')
        return name

    for i, stage in enumerate(stages, 1):
        for layer, after in zip(stage, [*stage[1:], None], strict=True):
            top = line(layer.name, layer.type, top, layer.settings)
            if i < len(stages) and (after is None or after.type in ("Convolution", "InnerProduct")):
                top = line(f"relu_{layer.name}", "ReLU", top)
        if i <= len(STAGES):
            top = line(f"pool{i}", "Pooling", top, "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
        if i == len(STAGES) and kind == "folding":
            top = line("mean", "Pooling", top, "pooling_param { pool: AVE global_pooling: true }")
    line("prob", "Softmax", top)
    return "\n".join(lines) + "\n"


def drawn(stages: list[list[Learnt]]) -> Iterator[Layer]:
    """Matrices as He et al. start them, what normalizes and scales about 1."""
    source = np.random.default_rng(0)
    for layer in (layer for stage in stages for layer in stage):
        blobs = []
        for shape in layer.blobs:
            blob = source.standard_normal(shape, np.float32)
            blob *= (2 / prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
            blobs.append(np.abs(blob + 1) if layer.type in ("BatchNorm", "Scale") else blob)
        yield Layer(layer.name, layer.type, blobs)
