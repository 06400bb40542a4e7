"""One layer as its function sees it: its settings, its bottoms, its weights, and where to write operators.

    @layer("ReLU", "relu_param")
    def relu(l: Layer, x: Value) -> Value:
        return l.emit(Relu(slope=l.number("negative_slope")), x)

That is all there is to adding a layer: a function here, and, if none of the language's operators says it, one there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import proxy

import numpy as np
import torch

from ...compiler.errors import CompileError, Loc
from ...compiler.ir import Constant, Value
from ...compiler.op import Op
from ...compiler.types import Dim, TensorType
from ..files.message import Message

Function = Callable[..., Value | tuple[Value, ...]]
MANY = 1 << 30


@dataclass(frozen=True, slots=True)
class LayerType:
    """What is known of a layer type: its function, its settings' field, how many bottoms and tops it may have."""

    function: Function
    param: str | None
    bottoms: tuple[int, int]
    tops: tuple[int, int]
    shares: bool = False  # the tops are the bottom's memory


LAYERS: dict[str, LayerType] = {}


def layer(
    type: str,
    param: str | None = None,
    bottoms: int | tuple[int, int] = 1,
    tops: int | tuple[int, int] = 1,
    shares: bool = False,
) -> Callable[[Function], Function]:
    """Enter a function as what Caffe's layer `type` means. `bottoms` and `tops`: how many, or at least and at most."""

    def enter(function: Function) -> Function:
        LAYERS[type] = LayerType(function, param, count_range(bottoms), count_range(tops), shares)
        return function

    return enter


def count_range(count: int | tuple[int, int]) -> tuple[int, int]:
    return (count, count) if isinstance(count, int) else count


class GraphEmitter(Protocol):
    """The net that is being read, as far as its layers see it."""

    warn: Callable[[str], None]

    def emit(self, op: Op, inputs: Sequence[Value], loc: Loc) -> tuple[Value, ...]: ...

    def describe(self, values: Sequence[Value]) -> str: ...

    def weight(self, layer: Layer, index: int, shape: tuple[int, ...], role: str) -> Constant: ...

    def constant(self, name: str, data: torch.Tensor | None, shape: tuple[int, ...]) -> Constant: ...

    def count(self, layer: Layer) -> int | None: ...


class Layer:
    """A layer of the file, while its function runs."""

    def __init__(self, message: Message, bottoms: Sequence[Value], importer: GraphEmitter) -> None:
        self.message, self.bottoms = message, bottoms
        self.importer: GraphEmitter = proxy(importer)  # weak: else the two would keep each other, and all weights
        self.name: str = message["name"]
        self.type: str = message["type"]
        self.tops: tuple[str, ...] = message["top"]
        self.layer_type = LAYERS[self.type]
        self.label = f'layer "{self.name}" ({self.type})'
        self.blobs = 0  # learnt blobs asked for so far

    @property
    def param(self) -> Message:
        """The layer's settings, with Caffe's defaults where the file says nothing."""
        assert self.layer_type.param is not None, self.type
        found: Message = self.message[self.layer_type.param]
        return found

    def number(self, field: str) -> float:
        """A float setting as the shortest decimal that is this float32: 0.1, not 0.10000000149."""
        return shortest_decimal(self.param[field])

    def emit(self, op: Op, *inputs: Value) -> Value:
        """Write an operator that has one result."""
        (value,) = self.emit_all(op, *inputs)
        return value

    def emit_all(self, op: Op, *inputs: Value) -> tuple[Value, ...]:
        try:
            return self.importer.emit(op, inputs, self.message.loc_of("name"))
        except ValueError as e:
            raise self.fault(f"{e}{self.importer.describe(inputs)}") from None

    def weight(self, shape: Sequence[int], role: str) -> Constant:
        """The next learnt blob: its shape as Caffe has it, and what people call it (weight, bias, slope...)."""
        index, self.blobs = self.blobs, self.blobs + 1
        return self.importer.weight(self, index, tuple(shape), role)

    def numbers(self, shape: Sequence[int], role: str) -> torch.Tensor | None:
        """The next learnt blob as numbers, for a layer that stores them in another form; None if there are none yet."""
        constant = self.weight(shape, f"{role}.stored")
        return constant.data if constant.is_bound else None

    def constant(self, data: torch.Tensor | None, shape: Sequence[int], role: str) -> Constant:
        """A weight that is worked out from what the file stores."""
        return self.importer.constant(f"{self.name}.{role}", data, tuple(shape))

    @property
    def stored(self) -> int | None:
        """How many learnt blobs the weights have for it; None if that is not known."""
        return self.importer.count(self)

    def fault(self, sentence: str, field: str | None = None, advice: str = "") -> CompileError:
        """A complaint about this layer; at one of its settings, if `field` names it."""
        sentence = f"{self.label}: {sentence}"
        if field and self.layer_type.param and field in self.param:
            return self.param.fault(sentence, field, advice)
        return self.message.fault(sentence, "name" if "name" in self.message else None, advice)

    def axis(self, number: int, x: Value, field: str = "axis") -> int:
        """An axis counted from the front. CompileError if x has none such."""
        if not -x.type.rank <= number < x.type.rank:
            raise self.fault(f"there is no axis {number} in {x.type}", field)
        return number % x.type.rank

    def known(self, x: Value) -> tuple[int, ...]:
        """The shape of a bottom, where all of it but the batch has to be known; an unknown batch counts as 1."""
        return self.sizes([d if i or isinstance(d, int) else 1 for i, d in enumerate(x.type.dims)])

    def sizes(self, dims: Sequence[Dim]) -> tuple[int, ...]:
        """Some dimensions as numbers, where they have to be known."""
        try:
            return TensorType("f32", tuple(dims)).shape
        except ValueError as e:
            raise self.fault(str(e)) from None

    def window(self, field: str, axes: int, default: int | None = None) -> tuple[int, ...]:
        """A setting of convolution or pooling for each image axis: repeated, or as _h and _w (base_conv_layer.cpp)."""
        p, short = self.param, field.removesuffix("_size")
        high, wide = f"{short}_h", f"{short}_w"
        given: Any = p[field] if field in p else ()
        given = given if isinstance(given, tuple) else (given,)
        if high in p or wide in p:
            if given:
                raise self.fault(f"{field} and {high}/{wide} are both given", high, "Keep one of the two forms.")
            if axes != 2:
                raise self.fault(f"{high} and {wide} are for images of two axes, and this one has {axes}", high)
            if default is None and not (high in p and wide in p):
                raise self.fault(f"{high} and {wide} go together", high if high in p else wide)
            return tuple(p[f] if f in p else default or 0 for f in (high, wide))
        if not given:
            if default is None:
                raise self.fault(f"it has no {field}", advice=f"Add {field}: and a number.")
            return (default,) * axes
        if len(given) not in (1, axes):
            raise self.fault(f"{field} has {len(given)} numbers, and the image {axes} axes", field)
        numbers: tuple[int, ...] = given * axes if len(given) == 1 else given
        return numbers


def shortest_decimal(number: float) -> float:
    return float(str(np.float32(number)))
