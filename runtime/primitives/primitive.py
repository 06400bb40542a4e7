"""The interface of a primitive: a pure function on tensors, prepared once at load and called at each run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..plan import Dim, Shape
from ..threads import ForkSafeLock

Made = TypeVar("Made")
Run = Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor] | None]
"""run(results, operands) writes the results; if their shapes depend on data, it returns new tensors instead."""


class PackedWeights:
    """A thread-safe cache of packed weights and loaded kernels, shared by all shapes and threads of a net.

    A key holds the weight's handle and all that its packed form depends on.
    """

    def __init__(self) -> None:
        self.cache: dict[Hashable, Any] = {}
        self.lock = ForkSafeLock()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        with self.lock:
            if key not in self.cache:
                self.cache[key] = make()
            made: Made = self.cache[key]
            return made


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand or result as known at load: dtype, largest shape, layout, and for a weight its data and handle.

    A call that is prepared for one run has the shapes of that run; `planned` is then the largest shape.
    """

    dtype: torch.dtype
    shape: Shape
    layout: str = "nchw"
    data: Tensor | None = None
    handle: str = ""
    planned: Shape | None = None

    @property
    def largest(self) -> Shape:
        """The largest shape, for which weights are packed."""
        return self.shape if self.planned is None else self.planned

    def with_shape(self, shape: Shape) -> Operand:
        """The same operand for one run."""
        return Operand(self.dtype, shape, self.layout, self.data, self.handle, self.largest)


@dataclass(frozen=True, slots=True)
class CallSite:
    """A step of the plan, as `prepare` gets it: attributes are complete and typed, shapes agree with `infer_shapes`."""

    attributes: Mapping[str, Any]
    operands: tuple[Operand, ...]
    results: tuple[Operand, ...]
    packed_weights: PackedWeights = field(default_factory=PackedWeights)


ShapeFunction = Callable[[Mapping[str, Any], Sequence[Shape], Sequence[Sequence[Dim]]], Sequence[Shape]]
"""(attributes, operand shapes, planned result dims) -> result shapes. ValueError if they are inconsistent."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """The two functions of a primitive.

    `prepare` packs and precomputes, once per net; the function it returns has no state, because threads share it.
    `infer_shapes` checks at load that a step's shapes are consistent, and computes dynamic shapes at run time; None if
    the shapes of the results depend on the data.
    """

    prepare: Callable[[CallSite], Run]
    infer_shapes: ShapeFunction | None


def is_same_view(a: Tensor, b: Tensor) -> bool:
    """True if both have the same address, shape, dtype and strides, so that a copy would change nothing."""
    if a.data_ptr() != b.data_ptr() or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return all(s == t or n == 1 for n, s, t in zip(a.shape, a.stride(), b.stride(), strict=True))


def is_finite(x: Tensor) -> bool:
    """False if x holds a NaN or an infinity; perhaps also if its numbers are so large that their sum is infinite."""
    return bool(x.sum().isfinite())


def store(result: Tensor, made: Tensor) -> None:
    """Copy to the result, unless it is the same view."""
    if not is_same_view(result, made):
        result.copy_(made)


def split_axis(x: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
    """A view with one axis split into several."""
    return x.view(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])


def per_axis(values: Sequence[int] | None, axes: int, default: int, name: str) -> list[int]:
    """One number per image axis; a single one is repeated, none is `default`. ValueError for any other number."""
    given = [default] if values is None or not len(values) else list(values)
    if len(given) not in (1, axes):
        raise ValueError(f"{name} has {len(given)} numbers for {axes} image axes")
    return given * axes if len(given) == 1 else given


def pads_per_axis(values: Sequence[int] | None, axes: int) -> tuple[list[int], list[int]]:
    """The padding before and after each image axis: two numbers per axis, all before first, or one for both sides."""
    if values is not None and len(values) == 2 * axes:
        return list(values[:axes]), list(values[axes:])
    both = per_axis(values, axes, 0, "pad")
    return both, both


def padding_edges(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """The argument of torch's pad, which takes the last axis first."""
    return [n for sides in zip(reversed(before), reversed(after), strict=True) for n in sides]


def require(condition: bool, message: str) -> None:
    """ValueError with the message if the condition does not hold."""
    if not condition:
        raise ValueError(message)


def axis_of(attributes: Mapping[str, Any], x: Shape) -> int:
    """The attribute `axis`, counted from the first axis of `x`. ValueError if `x` has no such axis."""
    require(-len(x) <= attributes["axis"] < len(x), f"there is no axis {attributes['axis']} in {list(x)}")
    axis: int = attributes["axis"] % len(x)
    return axis


def first_shape(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    """The shape function of primitives whose result has the shape of their first operand."""
    return [operands[0]]
