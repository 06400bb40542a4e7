"""What a kernel's writer sees of the plan: where operands are, and the block of packed weights that it adds to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..extents import extent_of, is_computed
from ..plan import Plan, Slot, Step
from .errors import NotNative as NotNative
from .image import Image, image_of
from .machine import Machine

ARENA, WEIGHTS, INPUT = 0, 1, 2
NAME = "@"  # where the function's name goes in a body
ALIGNED = 16  # floats: a cache line
MOST_EXTRAS = 4  # EXTRAS in templates/vector.h
Floats = NDArray[np.float32]
Pack = Callable[[Floats, Mapping[str, Floats]], None]  # packs weights, by name, into a part that is all 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operand begins, in floats: `base` is the arena, the packed weights, or INPUT + an input's number."""

    base: int
    at: int


@dataclass(frozen=True, slots=True)
class Extra:
    """Another operand of an epilogue: its place, and the floats between its images, rows and pixels (0: a vector).

    `is_scalar`: one number stands for all of a pixel's.
    """

    place: Place
    image: int
    row: int
    col: int
    is_scalar: bool = False

    def is_flat(self, y: Image) -> bool:
        """True if all its pixels are `col` apart, over the rows and images of a result `y`."""
        whole_rows = y.height == 1 or self.row == y.width * self.col
        return whole_rows and (y.images == 1 or self.image == y.height * y.width * self.col)


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """A step as C: `body` is its function, with NAME in place of the name; `doc` describes what it computes.

    Steps with equal bodies share one function. `tasks` is how many parts it has; `helpers` are functions that it calls;
    `scratch` is how many floats of its own each thread needs.
    """

    kind: str
    doc: str
    body: str
    tasks: int
    operands: tuple[Place, ...] = ()
    out: int = 0
    helpers: tuple[str, ...] = ()
    scratch: int = 0


def pack_plainly(name: str, part: Floats, weights: Mapping[str, Floats]) -> None:
    """A weight as it is."""
    part[:] = weights[name].ravel()


@dataclass
class PackedBlocks:
    """The block of packed weights: how each part of it is made, and where it begins, in floats."""

    size: int = 0
    parts: list[tuple[int, int, Pack]] = field(default_factory=list)

    def add(self, size: int, pack: Pack) -> Place:
        place = Place(WEIGHTS, self.size)
        self.parts.append((self.size, size, pack))
        self.size += -(-size // ALIGNED) * ALIGNED
        return place

    def fill(self, block: Floats, weights: Mapping[str, Floats]) -> None:
        """Pack all weights into `block`, f32 [size], which is all 0."""
        for start, size, pack in self.parts:
            pack(block[start : start + size], weights)


@dataclass(frozen=True)
class Site:
    """The step that is being written, in its plan."""

    step: Step
    plan: Plan
    machine: Machine
    blocks: PackedBlocks
    padded_inputs: set[str] = field(default_factory=set)

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.step.payload

    def slot(self, name: str) -> Slot:
        """NotNative if the operand is a weight."""
        if name not in self.plan.slots:
            raise NotNative(f"{name} is a weight")
        return self.plan.slots[name]

    def place(self, name: str, at: int, exact: bool = False) -> Place:
        """Float `at` of what holds a value: the arena, or the input.

        A kernel that reads whole vectors may read past a value's end. `exact`: this one does not, so that an input can
        be read where the caller has it.
        """
        if name in self.plan.inputs:
            if not exact:
                self.padded_inputs.add(name)
            return Place(INPUT + self.plan.inputs.index(name), at)
        return Place(ARENA, at)

    def require_apart(self) -> None:
        """NotNative if an operand shares memory with a result."""
        made = [extent_of(self.slot(name)) for name in self.step.results]
        for name in self.step.operands:
            if is_computed(name, self.plan) and any(extent_of(self.slot(name)).overlaps(each) for each in made):
                raise NotNative(f"{name} is where the result is")

    def image(self, name: str) -> Image:
        """A value as images with the channels innermost. NotNative if it is not."""
        made = image_of(self.slot(name))
        if made is None:
            raise NotNative(f"{name} is no f32 image with the channels innermost")
        return made

    def weight_shape(self, name: str) -> tuple[int, ...]:
        """NotNative if the operand is no f32 weight."""
        weight = self.plan.weights.get(name)
        if weight is None or weight.dtype != "f32":
            raise NotNative(f"{name} is computed, and this kernel wants a weight")
        return weight.shape

    def weight_place(self, name: str) -> Place:
        """Where a weight's numbers are, packed as they are. NotNative if the operand is no f32 weight."""
        return self.blocks.add(prod(self.weight_shape(name)), partial(pack_plainly, name))

    def extras(
        self,
        names: Sequence[str],
        result: Image,
        dims: tuple[int, ...],
        locate: Callable[[str], Extra] | None = None,
    ) -> tuple[Extra, ...]:
        """The other operands of an epilogue. NotNative if there are too many, or one does not fit.

        `locate` says where the numbers of a value of the result's shape are, if it is not as images.
        """
        if len(names) > MOST_EXTRAS:
            raise NotNative(f"its epilogue has {len(names)} other operands")
        return tuple(self.extra(name, result, dims, locate) for name in names)

    def extra(
        self, name: str, result: Image, dims: tuple[int, ...], locate: Callable[[str], Extra] | None = None
    ) -> Extra:
        """An operand of the epilogue of a result with these dims: a value of its shape, or one number a channel.

        NotNative if it is neither.
        """
        if name in self.plan.weights:
            count = prod(self.weight_shape(name))
            if count not in (1, result.channels):
                raise NotNative(f"{name} is not one number for each channel")
            padded = self.machine.vectors(result.channels) * self.machine.vector

            def pack(row: Floats, weights: Mapping[str, Floats]) -> None:
                row[: result.channels] = weights[name].ravel()

            return Extra(self.blocks.add(padded, pack), 0, 0, 0)
        if self.slot(name).dims != dims:
            raise NotNative(f"{name} is not of the result's shape")
        if locate is not None:
            return locate(name)
        image = self.image(name)
        return Extra(self.place(name, image.at), image.image, image.row, image.col)
