"""The data of inputs and weights, determined by their names, so that the text of a net is a complete test case.

A name is a kind and a unique suffix, as in `w3`; the data depends only on the name and the shape.

    x    around 0                                  class5  0, 1, 2, 3 or 4: a label, or a row of a table
    w    around 0, scaled by the fan-in            flag    0 or 1
    v    between 0.25 and 1.25                     prior   boxes and their variances, [1, 2, 4 boxes]
    roi3 boxes [r, 5] in images 0, 1 or 2, of 0 to 8 pixels
    info an image's height and width, of 20 to 40 pixels, and then scales around 1
    late like w, but without data while passes run

`w3_again` and `w3_again2` hold the same data as `w3`. A dimension `?n` is two thirds of n at run time, for all values,
so that values of one type can be added.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.types import DTYPES, AtMost, TensorType

KIND = re.compile(r"([a-z]+)(\d*)")
Fill = Callable[[np.random.RandomState, tuple[int, ...], int], np.ndarray]


def prior_boxes(state: np.random.RandomState, shape: tuple[int, ...], count: int) -> np.ndarray:
    low, size = state.uniform(0, 0.4, (shape[2] // 4, 2)), state.uniform(0.1, 0.5, (shape[2] // 4, 2))
    return np.stack([np.hstack([low, low + size]).ravel(), state.uniform(0.1, 0.3, shape[2])]).reshape(shape)


def normal_by_fan_in(state: np.random.RandomState, shape: tuple[int, ...], count: int) -> np.ndarray:
    made: np.ndarray = state.standard_normal(shape) / max(1.0, float(np.prod(shape[1:]))) ** 0.5
    return made


def image_boxes(state: np.random.RandomState, shape: tuple[int, ...], count: int) -> np.ndarray:
    low, size = state.uniform(0, 4, (shape[0], 2)), state.uniform(0, 4, (shape[0], 2))
    return np.hstack([state.randint(0, max(count, 1), (shape[0], 1)), low, low + size]).reshape(shape)


def image_info(state: np.random.RandomState, shape: tuple[int, ...], count: int) -> np.ndarray:
    made = state.uniform(0.8, 1.2, shape)
    made.reshape(-1)[:2] = state.uniform(20, 40, 2)
    return made


FILLS: dict[str, Fill] = {
    "x": lambda state, shape, count: state.standard_normal(shape),
    "w": normal_by_fan_in,
    "late": normal_by_fan_in,
    "v": lambda state, shape, count: state.uniform(0.25, 1.25, shape),
    "class": lambda state, shape, count: state.randint(0, max(count, 1), shape),
    "flag": lambda state, shape, count: state.randint(0, 2, shape),
    "prior": prior_boxes,
    "roi": image_boxes,
    "info": image_info,
}


def make_data(name: str, shape: tuple[int, ...]) -> Tensor:
    """The data for this name and shape, as float64 numbers that float32 can represent."""
    stem = name.partition("_again")[0]
    found = KIND.match(stem)
    kind, count = (found[1], int(found[2] or 0)) if found else ("x", 0)
    state = np.random.RandomState(crc32(f"{stem} {shape}".encode()))
    made = FILLS.get(kind, FILLS["x"])(state, shape, count)
    return torch.from_numpy(np.asarray(made, np.float32).astype(np.float64)).reshape(shape)


def runtime_shape(type: TensorType) -> tuple[int, ...]:
    """The shape at run time, with numbers for dimensions that have a bound."""
    return tuple((2 * d.bound + 2) // 3 if isinstance(d, AtMost) else d for d in type.dims)


def make_inputs(graph: Graph, special: bool = False) -> dict[str, Tensor]:
    """The inputs by name, in float64; with `special`, NaN and infinities replace elements of those around 0."""
    made = {v.name: make_data(v.name, runtime_shape(v.type)) for v in graph.inputs}
    return {name: with_special_numbers(x, name) for name, x in made.items()} if special else made


def with_special_numbers(x: Tensor, name: str) -> Tensor:
    """Replace one to three elements by NaN or infinities; inputs that are indices or classes are not changed."""
    if KIND.match(name) and not name.startswith("x"):
        return x
    state = np.random.RandomState(crc32(f"special {name} {tuple(x.shape)}".encode()))
    made = x.clone().flatten()
    for value in state.permutation([np.nan, np.inf, -np.inf])[: state.randint(1, 4)]:
        if made.numel():
            made[state.randint(made.numel())] = value
    return made.reshape(x.shape)


def fill_weights(graph: Graph, late: bool = False) -> Graph:
    """The net with data for its weights; with `late`, also for those that have none while passes run."""
    now: dict[Value, Value] = {}
    for c in graph.constants:
        if not c.is_bound and (late or not is_late(c)):
            now[c] = Constant(c.name, c.type, data=make_data(c.name, c.type.shape).to(DTYPES[c.type.dtype]))
    nodes = tuple(replace(n, inputs=tuple(now.get(v, v) for v in n.inputs)) for n in graph.nodes)
    return replace(graph, nodes=nodes, returns=tuple((name, now.get(v, v)) for name, v in graph.returns))


def is_late(value: Value) -> bool:
    return value.name.startswith("late")
