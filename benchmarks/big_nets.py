"""Writes VGG-like Caffe nets of any size: with nothing to fold, with much to fold into convolutions, or forward.

All have the thirteen convolutions of VGG-16, and its poolings. `plain` ends like VGG in large matrix products, which
hold nine tenths of its parameters. `forward` has a BatchNorm and a Scale before them, which can only be folded into the
largest matrix, after them. In `folding` nearly all parameters are in convolutions, and each convolution is followed by
BatchNorm and Scale, so that folding changes almost every weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from cortado.frontends.files.caffemodel_writer import WrittenLayer, write

NET_KINDS = ("plain", "folding", "forward")
STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # channels in units of the width, and number of convolutions
PICTURE_SIZE, CLASSES = 224, 1000
MB = 10**6


@dataclass(frozen=True)
class LayerSpec:
    """A layer that reads the previous one: its settings, and the shapes of its blobs."""

    name: str
    type: str
    settings: str = ""
    blobs: tuple[tuple[int, ...], ...] = ()


def make_files(folder: Path, kind: str, megabytes: float) -> tuple[Path, Path]:
    """Write a prototxt and a caffemodel of at least, and about, this size. Only one layer is in memory at a time."""
    lines = list(
        net_layers(kind, next(w for w in range(1, 10_000) if total_bytes(net_layers(kind, w)) >= megabytes * MB))
    )
    prototxt, caffemodel = folder / f"{kind}.prototxt", folder / f"{kind}.caffemodel"
    prototxt.write_text(prototxt_text(kind, lines), "utf-8")
    write(caffemodel, kind, draw_weights(lines))
    return prototxt, caffemodel


def net_layers(kind: str, width: int) -> Iterator[LayerSpec]:
    """The layers; VGG's width is 64."""
    channels = 3
    for i, (units, count) in enumerate(STAGES, 1):
        for j in range(1, count + 1):
            yield from convolution(f"{i}_{j}", channels, units * width, kind == "folding")
            channels = units * width
        yield LayerSpec(f"pool{i}", "Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    if kind == "forward":
        yield from norm("features", channels)
    if kind == "folding":
        yield LayerSpec("mean", "Pooling", "pooling_param { pool: AVE global_pooling: true }")
    else:
        yield inner_product("fc6", channels * (PICTURE_SIZE >> 5) ** 2, 64 * width)
        yield LayerSpec("relu6", "ReLU")
        yield inner_product("fc7", 64 * width, 64 * width)
        yield LayerSpec("relu7", "ReLU")
        channels = 64 * width
    yield inner_product("classes", channels, CLASSES)
    yield LayerSpec("prob", "Softmax")


def convolution(name: str, taken: int, made: int, normed: bool) -> Iterator[LayerSpec]:
    settings = f"convolution_param {{ num_output: {made} kernel_size: 3 pad: 1{' bias_term: false' * normed} }}"
    weight = (made, taken, 3, 3)
    yield LayerSpec(f"conv{name}", "Convolution", settings, (weight,) if normed else (weight, (made,)))
    if normed:
        yield from norm(name, made)
    yield LayerSpec(f"relu{name}", "ReLU")


def norm(name: str, channels: int) -> Iterator[LayerSpec]:
    blobs = (channels,), (channels,), (1,)
    yield LayerSpec(f"bn_{name}", "BatchNorm", "batch_norm_param { use_global_stats: true }", blobs)
    yield LayerSpec(f"scale_{name}", "Scale", "scale_param { bias_term: true }", blobs[:2])


def inner_product(name: str, taken: int, made: int) -> LayerSpec:
    return LayerSpec(name, "InnerProduct", f"inner_product_param {{ num_output: {made} }}", ((made, taken), (made,)))


def total_bytes(lines: Iterable[LayerSpec]) -> int:
    """Bytes of all blobs."""
    return 4 * sum(prod(shape) for line in lines for shape in line.blobs)


def prototxt_text(name: str, lines: Iterable[LayerSpec]) -> str:
    """The prototxt."""
    shape = f"dim: 1 dim: 3 dim: {PICTURE_SIZE} dim: {PICTURE_SIZE}"
    written, bottom = [f'name: "{name}"', f'input: "data" input_shape {{ {shape} }}'], "data"
    for line in lines:
        ends = f'bottom: "{bottom}" top: "{line.name}"'
        written.append(f'layer {{ name: "{line.name}" type: "{line.type}" {ends} {line.settings} }}')
        bottom = line.name
    return "\n".join(written) + "\n"


def draw_weights(lines: Iterable[LayerSpec]) -> Iterator[WrittenLayer]:
    """Random weights: matrices as initialized by He et al. (2015); those of BatchNorm and Scale around 1."""
    source = np.random.default_rng(0)
    for line in lines:
        blobs = []
        for shape in line.blobs:
            blob = source.standard_normal(shape, np.float32)
            blob *= (2 / prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
            blobs.append(np.abs(blob + 1) if line.type in ("BatchNorm", "Scale") else blob)
        if blobs:
            yield WrittenLayer(line.name, line.type, blobs)
