"""Shapes, operations and memory of a net by layer, in the forms in which OpenCV tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...compiler.cost import flops
from ...compiler.errors import CompileError
from ..live_net import LiveNet
from .named_layer import NamedLayer
from .results import opencv_shape

Array = np.ndarray[Any, Any]
Shapes = dict[str, tuple[int, ...]]


def scale_blob(blob: Any, factor: float, mean: Any) -> Array:
    """A copy, float32, of (blob - mean) * factor. CompileError if these are no numbers, or the mean does not fit."""
    array = np.asarray(blob)
    if array.dtype.kind not in "biuf":
        raise CompileError(f"an input is an array of numbers, not of {array.dtype}")
    made = np.array(array, np.float32, order="C")
    numbers = np.atleast_1d(np.asarray(mean, np.float32))
    channels = made.shape[1] if made.ndim > 1 else 1
    if numbers.any():
        given = np.resize(numbers, channels) if numbers.size == 1 else numbers[:channels]
        if len(given) < channels:
            raise CompileError(f"the mean has {len(given)} numbers, and the input {channels} channels")
        made -= given.reshape(-1, *[1] * (made.ndim - 2))
    if factor != 1:
        made *= np.float32(factor)
    return made


def split_arguments(given: Sequence[Any]) -> tuple[int | None, Any]:
    """(shapes) or (id, shapes)."""
    if not 1 <= len(given) <= 2:
        raise CompileError("give the shapes of the inputs, or a layer's id and those")
    return (None, given[0]) if len(given) == 1 else (int(given[0]), given[1])


def named_shapes(live: LiveNet, given: Any) -> Shapes:
    """The shapes of the inputs by name, from one shape, or a list of shapes in the order of the inputs."""
    rows = [given] if all(np.ndim(d) == 0 for d in given) else [*given]
    if len(rows) != len(live.inputs):
        raise CompileError(f"the net has {len(live.inputs)} inputs ({', '.join(live.inputs)}), not {len(rows)}")
    return {name: tuple(int(d) for d in row) for name, row in zip(live.inputs, rows, strict=True)}


def count_readers(layers: Sequence[NamedLayer]) -> list[int]:
    """For each layer, how many others read what it makes."""
    readers, maker = [0] * len(layers), dict[str, int]()
    for i, layer in enumerate(layers):
        for bottom in layer.bottoms:
            if bottom in maker:
                readers[maker[bottom]] += 1
        maker.update(dict.fromkeys(layer.tops, i))
    return readers


def count_flops(live: LiveNet, shapes: Shapes) -> dict[int, int]:
    """Operations by layer number: a multiplication and an addition are two."""
    numbers = {layer.message.loc_of("name"): layer.number for layer in live.layers}
    found = Counter[int]()
    for node in live.output_graph(shapes).nodes:
        if node.loc in numbers:
            found[numbers[node.loc]] += flops(node)
    return dict(found)


def count_memory(live: LiveNet, layers: Sequence[NamedLayer], shapes: Shapes, with_inputs: bool) -> tuple[int, int]:
    """Bytes of the learnt blobs of layers, and of what they make, as if each blob had memory of its own."""
    made = live.shapes(shapes)
    weights = sum(blob.nbytes for layer in layers for blob in live.read_params(layer.number))
    images = batch_of(live, shapes)
    blobs = [opencv_shape(live, key, made[key], images) for layer in layers for key in layer.keys]
    inputs = [shapes[name] for name in live.inputs] if with_inputs else []
    return weights, sum(4 * prod(shape) for shape in (*blobs, *inputs))


def batch_of(live: LiveNet, shapes: Shapes) -> int:
    """The first size of the first input."""
    return next(iter(shapes[live.inputs[0]]), 1) if live.inputs else 1


def layer_shapes(
    live: LiveNet, layers: Sequence[NamedLayer], shapes: Shapes
) -> tuple[Array, tuple[Any, ...], tuple[Any, ...]]:
    """The ids from 0, the inputs, on; the shapes that each layer takes, and those that it makes."""
    made, images = live.shapes(shapes), batch_of(live, shapes)
    current = {name: np.array(shapes[name], np.int32) for name in live.inputs}
    taken, given = [tuple(current.values())], [tuple(current.values())]
    for layer in layers:
        taken.append(tuple(current[name] for name in layer.bottoms))
        given.append(tuple(np.array(opencv_shape(live, key, made[key], images), np.int32) for key in layer.keys))
        current.update(zip(layer.tops, given[-1], strict=True))
    return np.arange(len(layers) + 1, dtype=np.int32), tuple(taken), tuple(given)
