"""`Layer`, through which a layer type's function reads settings and emits operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from weakref import proxy

import torch

from ...compiler.errors import CompileError, Loc
from ...compiler.float32 import shortest_decimal as shortest_decimal
from ...compiler.ir import Constant, Value
from ...compiler.limits import MAX_CONSTANT_ELEMENTS, MAX_ELEMENTS, show_type, size_fault
from ...compiler.op import Op
from ...compiler.ops.shape import Reshape
from ...compiler.types import Dim, TensorType
from ..files.message import FieldConflict, Message
from .layer_types import LAYERS as LAYERS
from .layer_types import MANY as MANY
from .layer_types import LayerType as LayerType
from .layer_types import count_range as count_range
from .layer_types import layer as layer

Meaning = TypeVar("Meaning")


class DialectMismatch(CompileError):
    """The fork of Caffe that a dialect is named after refuses this layer."""


class GraphEmitter(Protocol):
    """The part of the importer that layers use. `importer.Importer` implements it."""

    warn: Callable[[str], None]
    types: frozenset[str]
    makers: dict[str, Layer]

    def emit(self, op: Op, inputs: Sequence[Value], loc: Loc) -> tuple[Value, ...]: ...

    def describe(self, values: Sequence[Value]) -> str: ...

    def weight(self, layer: Layer, index: int, shape: tuple[int, ...], role: str) -> Constant: ...

    def constant(self, name: str, data: torch.Tensor | None, shape: tuple[int, ...]) -> Constant: ...

    def count(self, layer: Layer) -> int | None: ...


class Layer:
    """A layer that is being imported: the argument of its function."""

    def __init__(self, message: Message, bottoms: Sequence[Value], importer: GraphEmitter) -> None:
        self.message, self.bottoms = message, bottoms
        self.importer: GraphEmitter = proxy(importer)  # weak: a cycle would keep all weights alive
        self.name: str = message["name"]
        self.type: str = message["type"]
        self.tops: tuple[str, ...] = message["top"]
        self.layer_type = LAYERS[self.type]
        self.label = f'layer "{self.name}" ({self.type})'
        self.shapes: list[tuple[int, ...]] = []  # of the learnt blobs requested so far

    def call(self) -> Value | tuple[Value, ...]:
        """Call the layer's function. CompileError, also where an operator does not accept its attributes."""
        try:
            return self.layer_type.function(self, *self.bottoms)
        except FieldConflict as e:
            raise CompileError(f"{self.label}: {e.message}", e.loc, e.text, e.advice) from None
        except ValueError as e:  # about an operator's attributes; errors about operands are caught by Layer.emit
            raise self.fault(str(e)) from None
        except ArithmeticError:
            raise self.fault("its settings are too large or too small to compute with") from None

    @property
    def blobs(self) -> int:
        """How many learnt blobs were requested so far."""
        return len(self.shapes)

    @property
    def may_lack_tops(self) -> bool:
        """True if the type takes more tops than there are: one for each bottom, or as many as its settings say."""
        (least, most), per_bottom = self.layer_type.tops, min(len(self.bottoms), self.layer_type.tops[1])
        has = len(self.tops)
        return has < least or has < (per_bottom if most <= self.layer_type.bottoms[1] else most)

    @property
    def param(self) -> Message:
        """The layer's settings, with Caffe's defaults for fields that the file does not set."""
        assert self.layer_type.param is not None, self.type
        found: Message = self.message[self.layer_type.param]
        return found

    def number(self, field: str) -> float:
        """A float setting as the shortest decimal that is this float32: 0.1, not 0.10000000149."""
        return shortest_decimal(self.param[field])

    def choice(self, field: str, meanings: Mapping[str, Meaning]) -> Meaning:
        """What the value of an enum setting means here; `meanings` lists all values that the layer computes.

        CompileError for any other value of the schema. There is no other way to read one: see Message.choice.
        """
        return self.param.choice(field, meanings, self.label)

    def emit(self, op: Op, *inputs: Value) -> Value:
        """Emit an operator with one result. CompileError if it does not accept these operands."""
        (value,) = self.emit_all(op, *inputs)
        return value

    def emit_all(self, op: Op, *inputs: Value) -> tuple[Value, ...]:
        """Emit an operator with any number of results. CompileError if it does not accept these operands."""
        try:
            return self.importer.emit(op, inputs, self.message.loc_of("name"))
        except ValueError as e:
            raise self.fault(f"{e}{self.importer.describe(inputs)}") from None

    def weight(self, shape: Sequence[int], role: str) -> Constant:
        """The next learnt blob, of Caffe's shape, as a constant named LAYER.ROLE (weight, bias, slope...)."""
        self.shapes.append(tuple(shape))
        self.check_size(shape, f"its {role}")
        return self.importer.weight(self, self.blobs - 1, tuple(shape), role)

    def skip_weight(self, shape: Sequence[int]) -> None:
        """Pass over the next learnt blob, of this shape in Caffe: the layer has it, and does not use it."""
        self.shapes.append(tuple(shape))

    def numbers(self, shape: Sequence[int], role: str) -> torch.Tensor | None:
        """The data of the next learnt blob, for layers that transform it before use; None if the net has no weights."""
        constant = self.weight(shape, f"{role}.stored")
        return constant.data if constant.is_bound else None

    def constant(self, data: torch.Tensor | None, shape: Sequence[int], role: str) -> Constant:
        """A constant computed from stored blobs, named LAYER.ROLE; `data` None: unbound."""
        self.check_size(shape, f"its {role}")
        return self.importer.constant(f"{self.name}.{role}", data, tuple(shape))

    def filled(self, value: float, shape: Sequence[int], role: str) -> Constant:
        """A constant of equal numbers, named LAYER.ROLE. CompileError if it is larger than limits.py allows."""
        self.check_size(shape, f"its {role}", MAX_CONSTANT_ELEMENTS)
        return self.constant(torch.full(tuple(shape), value), shape, role)

    def check_size(self, shape: Sequence[int], what: str, limit: int = MAX_ELEMENTS) -> None:
        """CompileError if a blob of this shape would be larger than Caffe allows, or than `limit`."""
        type = TensorType("f32", tuple(shape))
        if fault := size_fault(type, limit):
            raise self.fault(f"{what}, {show_type(type)}, {fault}")

    @property
    def stored(self) -> int | None:
        """The count of learnt blobs that the weights have for this layer; None if unknown."""
        return self.importer.count(self)

    def fault(self, sentence: str, field: str | None = None, advice: str = "") -> CompileError:
        """An error about this layer, for the caller to raise; located at its setting `field`, if the file sets it."""
        sentence = f"{self.label}: {sentence}"
        if field and self.layer_type.param and field in self.param:
            return self.param.fault(sentence, field, advice)
        return self.message.fault(sentence, "name" if "name" in self.message else None, advice)

    def require_new_tops(self) -> None:
        """CompileError if a top overwrites a bottom, for layers of which Caffe refuses that."""
        if set(self.tops) & set(self.message["bottom"]):
            advice = "Give the top another name, and have the layers that follow read that."
            raise self.fault(f"Caffe does not let {self.type} be in place", None, advice)

    def mismatch(self, sentence: str, field: str | None = None, advice: str = "") -> CompileError:
        """An error, for the caller to raise, about what this dialect's Caffe refuses.

        If another dialect of the type accepts it, the file is of that one (dialects.py).
        """
        error = self.fault(sentence, field, advice)
        return DialectMismatch(error.message, error.loc, error.text, error.advice)

    def axis(self, number: int, x: Value, field: str = "axis") -> int:
        """The axis counted from the front (0 to rank - 1). CompileError if x has no such axis."""
        if not -x.type.rank <= number < x.type.rank:
            raise self.fault(f"there is no axis {number} in {x.type}", field)
        return number % x.type.rank

    def keep_sizes(self, x: Value, start: int = 2) -> Value:
        """The same value, refused if the net is given other sizes of the axes from `start` on.

        For settings that are worked out from these sizes: a compiled file has them only.
        """
        for axis in range(start, x.type.rank):
            x = self.emit(Reshape(shape=(self.size(x, axis),), axis=axis, num_axes=1), x)
        return x

    def known(self, x: Value) -> tuple[int, ...]:
        """The shape of a bottom, with 1 for an unknown batch. CompileError if another dimension is unknown."""
        return self.sizes([d if i or isinstance(d, int) else 1 for i, d in enumerate(x.type.dims)])

    def size(self, x: Value, axis: int) -> int:
        """The size of one axis of a bottom, as of its channels. CompileError if it is unknown."""
        try:
            return x.type.size(axis)
        except ValueError as e:
            raise self.fault(str(e)) from None

    def sizes(self, dims: Sequence[Dim]) -> tuple[int, ...]:
        """The dimensions as integers. CompileError if one is unknown."""
        try:
            return TensorType("f32", tuple(dims)).shape
        except ValueError as e:
            raise self.fault(str(e)) from None

    def window(self, field: str, axes: int, default: int | None = None, alone: bool = False) -> tuple[int, ...]:
        """A setting of a convolution or pooling per image axis: repeated, or as _h and _w (base_conv_layer.cpp).

        `alone`: one of _h and _w may be given without the other, which is `default` then. CompileError where Caffe
        aborts: if both forms are given, one number of two, or another count of numbers than of axes.
        """
        p, short = self.param, field.removesuffix("_size")
        high, wide = f"{short}_h", f"{short}_w"
        given: Any = p[field] if field in p else ()
        given = given if isinstance(given, tuple) else (given,)
        if p.is_set(high) or p.is_set(wide):
            if p.is_set(field):
                raise self.fault(f"{field} and {high}/{wide} are both given", high, "Keep one of the two forms.")
            if axes != 2:
                raise self.fault(f"{high} and {wide} are for images of two axes, and this one has {axes}", high)
            if not alone and not (p.is_set(high) and p.is_set(wide)):
                raise self.fault(f"{high} and {wide} go together", high if p.is_set(high) else wide, "Give both.")
            return tuple(p[f] if p.is_set(f) else default or 0 for f in (high, wide))
        if not given:
            if default is None:
                raise self.fault(f"it has no {field}", advice=f"Add {field}: and a number.")
            return (default,) * axes
        if len(given) not in (1, axes):
            raise self.fault(f"{field} has {len(given)} numbers, and the image {axes} axes", field)
        numbers: tuple[int, ...] = given * axes if len(given) == 1 else given
        return numbers
