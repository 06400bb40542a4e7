"""What a primitive is: a pure function on tensors in two phases, one at load and one at each run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..plan import Dim, Shape

Made = TypeVar("Made")
Run = Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor] | None]
"""run(results, operands) fills the results. A counted primitive gets none and returns tensors of shapes it found."""


class PackedWeights:
    """Weights, and kernels, as the processor wants them, each made once and shared by all that run with it.

    A key holds the weight's handle and whatever its packed form depends on.
    """

    def __init__(self) -> None:
        self.cache: dict[Hashable, Any] = {}
        self.lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        with self.lock:
            if key not in self.cache:
                self.cache[key] = make()
            made: Made = self.cache[key]
            return made


@dataclass(frozen=True, slots=True)
class Operand:
    """What is known of an operand or result at load: dtype, shape at its largest, layout, and a weight's data."""

    dtype: torch.dtype
    shape: Shape
    layout: str = "nchw"
    data: Tensor | None = None
    handle: str = ""


@dataclass(frozen=True, slots=True)
class CallSite:
    """One step as `prepare` sees it. Attributes are complete and typed, shapes agree with `infer_shapes`."""

    attributes: Mapping[str, Any]
    operands: tuple[Operand, ...]
    results: tuple[Operand, ...]
    packed_weights: PackedWeights = field(default_factory=PackedWeights)


ShapeFunction = Callable[[Mapping[str, Any], Sequence[Shape], Sequence[Sequence[Dim]]], Sequence[Shape]]
"""The results' shapes from the attributes, the operands' shapes and what is planned. ValueError if they cannot be."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """`prepare` packs and precomputes, once per net; what it returns is called by many threads at once, so it keeps
    no state.

    `infer_shapes` proves at load that a step's tensors fit together, whoever wrote the plan, and finds the shapes that
    are known only when the net runs. None: the primitive is counted, that is, its results' shapes depend on the data.
    """

    prepare: Callable[[CallSite], Run]
    infer_shapes: ShapeFunction | None


def is_same_view(a: Tensor, b: Tensor) -> bool:
    """True if the two are the same bytes, read in the same order."""
    if a.data_ptr() != b.data_ptr() or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return all(s == t or n == 1 for n, s, t in zip(a.shape, a.stride(), b.stride(), strict=True))


def store(result: Tensor, made: Tensor) -> None:
    if not is_same_view(result, made):
        result.copy_(made)


def split_axis(x: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
    """A view with one axis split into several."""
    return x.view(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])


def per_axis(values: Sequence[int] | None, axes: int, default: int, name: str) -> list[int]:
    """One number for each image axis; a single one stands for all. ValueError if there are more or fewer."""
    given = [default] if values is None or not len(values) else list(values)
    if len(given) not in (1, axes):
        raise ValueError(f"{name} has {len(given)} numbers for {axes} image axes")
    return given * axes if len(given) == 1 else given


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


def first_shape(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    """The shapes of what changes none."""
    return [operands[0]]
