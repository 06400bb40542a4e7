"""An operator is one record: attributes, arity, traits, shape inference, reference implementation, cost.

    @op("softmax", operands=1)
    class Softmax(Op):
        axis: int = 1

        def infer(self, x): return x
        def reference(self, x): return x.softmax(self.axis)
        def flops(self, operands, results): return 5 * results[0].numel

The fields are the attributes (types: attributes.py), the docstring is the manual page, and every backend is tested
against `reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cache
from typing import Any, ClassVar, NamedTuple, TypeVar, dataclass_transform

from torch import Tensor

from .attributes import Ints, annotation_of, coerce_attribute, is_same_attribute, require_attribute_type
from .float32 import with_float32_attributes
from .limits import MAX_CONSTANT_ELEMENTS, MAX_ELEMENTS, require_size
from .recorder import Recorder
from .scalar import TENSORS
from .suggestion import did_you_mean
from .types import TensorType

__all__ = ["REGISTRY", "Arity", "Elementwise", "Ints", "Op", "Trait", "make_op", "op", "per_axis"]

REGISTRY: dict[str, type[Op]] = {}
T = TypeVar("T", bound="Op")


class Trait(Enum):
    """Properties that passes and targets may rely on, whatever the operator's attributes are."""

    REINTERPRETS = "the result has the operand's bytes, in the operand's row-major order"
    SHAPE_ONLY = "the results depend on the operands' shapes alone, not on their data"
    ROW_MAJOR_ONLY = "operands of rank 4 have to be in layout nchw"
    LAYOUT_AGNOSTIC = "copies from any layout to any other: operand and result may have different layouts"
    READS_ANY_LAYOUT = "the first operand may have another layout than the result, if the target can read it"
    ANY_SIZE = "the same function for all sizes of batch and image; its step refuses, when it runs, sizes that disagree"
    JOINS = "defines concat_ranges: operands may be unchanged channel ranges of the result"
    SLICES = "defines slice_ranges: results may be unchanged channel ranges of the first operand"


class Arity(NamedTuple):
    """The least and the greatest number of operands; None means no limit."""

    least: int
    most: int | None

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.least} or more"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


class Op:
    """Base of all operators. Instances are frozen, and equal if their attributes are."""

    name: ClassVar[str]
    arity: ClassVar[Arity] = Arity(1, None)  # @op declares it
    traits: ClassVar[frozenset[Trait]] = frozenset()

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, coerce_attribute(f.name, annotation_of(f.type), getattr(self, f.name)))

    @property
    def is_reinterpretation(self) -> bool:
        return Trait.REINTERPRETS in self.traits

    @property
    def shape_only(self) -> bool:
        return Trait.SHAPE_ONLY in self.traits

    @property
    def row_major_only(self) -> bool:
        return Trait.ROW_MAJOR_ONLY in self.traits

    @property
    def layout_agnostic(self) -> bool:
        return Trait.LAYOUT_AGNOSTIC in self.traits

    @property
    def reads_any_layout(self) -> bool:
        return Trait.READS_ANY_LAYOUT in self.traits

    def infer(self, *operands: Any) -> TensorType | tuple[TensorType, ...]:
        """The type of each result. ValueError, with one plain sentence, if the operands do not fit."""
        raise NotImplementedError(self.name)

    def reference(self, *operands: Any) -> Tensor | tuple[Tensor, ...]:
        """The results, computed in plain torch."""
        raise NotImplementedError(self.name)

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        """Arithmetic operations at the largest sizes; 0 for an operator that only moves or compares elements.

        A multiplication and an addition count as two, a function such as exp as one.
        """
        return 0

    def pointwise_in(self, operand: int) -> bool:
        """True if each element of the result depends on that operand at the same index only."""
        return False

    def axis_permutation(self, rank: int) -> Ints:
        """For each axis of the result, the operand's axis, if the operator only permutes axes (transpose); else ()."""
        return ()

    def concat_ranges(self, operands: Sequence[TensorType]) -> tuple[range, ...]:
        """For each operand, the channels of the result that are its unchanged copy (concat); () if there are none."""
        return ()

    def slice_ranges(self, operands: Sequence[TensorType]) -> tuple[range, ...]:
        """For each result, the channels of the first operand that it copies unchanged (slice); () if there are none."""
        return ()

    def infer_types(self, operands: Sequence[TensorType]) -> tuple[TensorType, ...]:
        """The result of `infer`, always as a tuple.

        ValueError if the number of operands is wrong, if a result is larger than limits.py allows, or from `infer`.
        """
        least, most = self.arity
        if len(operands) < least or (most is not None and len(operands) > most):
            noun = "operand" if self.arity == (1, 1) else "operands"
            raise ValueError(f"takes {self.arity} {noun}, not {len(operands)}")
        made = self.infer(*operands)
        results = made if isinstance(made, tuple) else (made,)
        for type in results:
            require_size(type, MAX_CONSTANT_ELEMENTS if self.shape_only else MAX_ELEMENTS)
        return results

    def compute(self, operands: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The result of `reference` with the attributes in float32, as Caffe has them; always as a tuple."""
        made = with_float32_attributes(self).reference(*operands)
        return made if isinstance(made, tuple) else (made,)

    def attributes(self) -> dict[str, Any]:
        """The attributes that differ from their default, as they are printed."""
        pairs = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, (value, default) in pairs.items() if not is_same_attribute(value, default)}

    def all_attributes(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


class Elementwise(Op):
    """An operator that is one scalar expression; hence it can be fused into the kernel that computes its operand.

    `scalar` is the only definition: on tensors it is the reference; on a recorder it yields the lines of a kernel and
    the count for `flops`. The result has the type of the first operand. The other operands have the same type or, if
    the operator has an attribute `axis`, the shape of a run of dimensions that starts at that axis: `[c]` at axis 1 is
    one number per channel.
    """

    traits = frozenset({Trait.ANY_SIZE})

    def scalar(self, m: Any, *operands: Any) -> Any:
        raise NotImplementedError(self.name)

    def pointwise_in(self, operand: int) -> bool:
        return True

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return count_scalar_calls(self, len(operands)) * results[0].numel

    def operand_axes(self, operands: Sequence[TensorType]) -> tuple[int | None, ...]:
        """For each operand, the axis of the result at which its shape starts; None if it has the full shape.

        ValueError if the shape of an operand does not fit.
        """
        whole, axes = operands[0], list[int | None]()
        axis = getattr(self, "axis", None)
        for i, type in enumerate(operands):
            if type.dims == whole.dims:
                axes.append(None)
                continue
            if axis is None:
                raise ValueError(f"operand {i + 1} is {type}, the first is {whole}")
            start = axis + whole.rank if axis < 0 else axis
            part = whole.dims[start : start + type.rank]
            if not 0 <= start <= whole.rank or type.dims != part:
                raise ValueError(f"operand {i + 1} is {type}, which does not match {whole} from axis {axis} on")
            axes.append(start)
        return tuple(axes)

    def infer(self, *operands: TensorType) -> TensorType:
        self.operand_axes(operands)
        return operands[0]

    def reference(self, *operands: Tensor) -> Tensor:
        x = operands[0]
        axes = self.operand_axes([TensorType("f32", tuple(t.shape)) for t in operands])
        result: Tensor = self.scalar(
            TENSORS, *(broadcast_view(t, a, x.ndim) for t, a in zip(operands, axes, strict=True))
        )
        return result.to(x.dtype)  # a body that only selects constants yields torch's default dtype


def broadcast_view(t: Tensor, axis: int | None, rank: int) -> Tensor:
    """A view of `rank` dimensions with t's own from `axis` on and 1 elsewhere, so that it broadcasts."""
    return t if axis is None else t.reshape(*[1] * axis, *t.shape, *[1] * (rank - axis - t.ndim))


@cache
def count_scalar_calls(op: Elementwise, operands: int) -> int:
    """The number of scalar functions that an elementwise operator applies to each element."""
    recorder = Recorder(operands)
    recorder.end_with(op.scalar(recorder, *map(recorder.operand, range(operands))))
    return len(recorder.code)


@dataclass_transform(frozen_default=True)
def op(name: str, operands: int | tuple[int, int | None] = 1) -> Callable[[type[T]], type[T]]:
    """Freeze the class and register it under the name that the text uses.

    `operands` is the number of operands, or the least and the greatest; None means no limit. TypeError if an attribute
    has a type that cannot be checked, or if a trait contradicts the methods.
    """

    def enter(cls: type[T]) -> type[T]:
        cls.name = name
        cls.arity = Arity(*operands) if isinstance(operands, tuple) else Arity(operands, operands)
        frozen = dataclass(frozen=True)(cls)
        require_sound_record(frozen)
        REGISTRY[name] = frozen
        return frozen

    return enter


def require_sound_record(cls: type[Op]) -> None:
    """TypeError unless all attributes have types that can be checked and the traits match the methods."""
    for f in fields(cls):  # type: ignore[arg-type]
        require_attribute_type(f"{cls.__name__}.{f.name}", annotation_of(f.type))
    for trait, method in ((Trait.JOINS, "concat_ranges"), (Trait.SLICES, "slice_ranges")):
        if (trait in cls.traits) != (getattr(cls, method) is not getattr(Op, method)):
            raise TypeError(f"{cls.__name__} has to have the trait {trait.name} and define {method}, or neither")


def make_op(name: str, attributes: dict[str, Any]) -> Op:
    """The operator of this name with these attributes. ValueError, with one plain sentence, if there is none."""
    if name not in REGISTRY:
        raise ValueError(f"no operator is called {name}{did_you_mean(name, REGISTRY)}")
    cls = REGISTRY[name]
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for given in attributes:
        if given not in known:
            raise ValueError(f"{name} has no attribute {given}{did_you_mean(given, known)}")
    for f in known.values():
        if f.default is MISSING and f.name not in attributes:
            raise ValueError(f"{name} needs {f.name}=")
    return cls(**attributes)


def per_axis(numbers: Ints, axes: int, name: str) -> Ints:
    """One number for each image axis; a single number is repeated. ValueError for any other count."""
    if len(numbers) not in (1, axes):
        raise ValueError(f"{name} has {len(numbers)} numbers, the image {axes} axes")
    return numbers * axes if len(numbers) == 1 else numbers


def pads_per_axis(numbers: Ints, axes: int) -> tuple[Ints, Ints]:
    """The padding before and after each image axis.

    `numbers` are one for all axes, one per axis, or two per axis: all that come before, then all that come after.
    ValueError for any other count.
    """
    if len(numbers) == 2 * axes:
        return numbers[:axes], numbers[axes:]
    both = per_axis(numbers, axes, "pad")
    return both, both
