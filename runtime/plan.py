"""The plan of a compiled net: the location of its tensors, and its steps in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from .errors import ArtifactError as ArtifactError
from .spec import Dim as Dim
from .spec import Shape as Shape
from .spec import upper_bound as upper_bound

DTYPES: Mapping[str, torch.dtype] = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "i32": torch.int32,
    "u8": torch.uint8,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """An input's type, or a computed value's type and its place in the arena.

    `dims` are in Caffe's order whatever the layout. `layout` is the order of the axes in memory: "nchw", or "nhwc"
    with the channels (axis 1) innermost. `at` is a byte offset, None for an input. With `channels` = (first, total)
    the value is channels first ... first+dims[1] of a stored tensor that has `total` channels and begins at `at`.
    With `halo` = (before, after) the stored tensor is an image with a border of that many pixels on both image axes.
    """

    dtype: str
    dims: tuple[Dim, ...]
    layout: str = "nchw"
    at: int | None = None
    channels: tuple[int, int] | None = None
    halo: tuple[int, int] | None = None

    @property
    def bounds(self) -> Shape:
        return tuple(map(upper_bound, self.dims))

    @property
    def is_static(self) -> bool:
        return all(isinstance(d, int) for d in self.dims)

    @property
    def stored_shape(self) -> Shape:
        """The shape of the stored tensor that this value is, or is a part of, with its border."""
        whole = self.bounds
        if self.halo:
            whole = (*whole[:2], *(size + sum(self.halo) for size in whole[2:]))
        return (whole[0], self.channels[1], *whole[2:]) if self.channels else whole

    @property
    def nbytes(self) -> int:
        """Bytes of the stored tensor, at most."""
        return prod(self.stored_shape) * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class Weight:
    """A named constant. Names may share a handle; its tensor has this dtype and as many elements."""

    dtype: str
    shape: Shape
    handle: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: the runner knows what `kind` is and what its `payload` means, which holds only what JSON can.

    `label` says to people what the step computes: the name of its kernel.
    """

    kind: str
    payload: dict[str, Any]
    operands: tuple[str, ...]
    results: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A net that is ready to run: `arena` bytes of memory, and steps in order over named values.

    `target` is what it was compiled for ("cuda-f16"), `runner` what runs it ("cuda"), and `payload` the version of what
    that runner reads in the steps. `slots` holds the inputs and all computed values; `outputs` are pairs of a blob's
    name and the value, weight or input that it is.
    """

    net: str
    target: str
    runner: str
    payload: int
    arena: int
    inputs: tuple[str, ...]
    slots: dict[str, Slot]
    weights: dict[str, Weight]
    steps: tuple[Step, ...]
    outputs: tuple[tuple[str, str], ...]
