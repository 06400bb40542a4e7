"""An operator in one place: typed attributes, the types it makes, and what it means.

    @op("softmax")
    class Softmax(Op):
        axis: int = 1

        def infer(self, x): return x
        def reference(self, x): return x.softmax(self.axis)

The fields are the attributes, the docstring is the manual page, and `reference` is the truth that every
backend is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar, dataclass_transform

from torch import Tensor

from .scalar import TENSORS
from .types import TensorType

REGISTRY: dict[str, type[Op]] = {}
Ints = tuple[int, ...]  # one number stands for every axis, and is printed as one
T = TypeVar("T", bound="Op")


class Op:
    """Base of all operators. Instances are frozen, and equal if their attributes are."""

    name: ClassVar[str]
    is_reinterpretation: ClassVar[bool] = False  # the result has the operand's bytes, in the operand's order
    shape_only: ClassVar[bool] = False  # the results follow from the operands' shapes alone
    row_major_only: ClassVar[bool] = False  # reads its image in Caffe's order: rank-4 operands have to lie in nchw
    layout_agnostic: ClassVar[bool] = (
        False  # copies from any layout to any other: operand and result may lie differently
    )
    reads_any_layout: ClassVar[bool] = (
        False  # may read its first image in another layout than it writes, if the target can
    )

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, coerce_attribute(f.name, str(f.type), getattr(self, f.name)))

    def infer(self, *operands: Any) -> TensorType | tuple[TensorType, ...]:
        """The type of each result, or ValueError with a plain sentence on why these operands cannot be."""
        raise NotImplementedError(self.name)

    def reference(self, *operands: Any) -> Tensor | tuple[Tensor, ...]:
        """The results, computed plainly."""
        raise NotImplementedError(self.name)

    def pointwise_in(self, operand: int) -> bool:
        """True if each element of the result needs that operand at the same place and nowhere else."""
        return False

    def axis_permutation(self, rank: int) -> Ints:
        """For each axis of the result the operand's that it is, if nothing else changes (transpose); else ()."""
        return ()

    def concat_ranges(self, operands: Sequence[TensorType]) -> tuple[range, ...]:
        """For each operand the channels of the result at which it stands unchanged (concat); () if they do not."""
        return ()

    def slice_ranges(self, operands: Sequence[TensorType]) -> tuple[range, ...]:
        """For each result the channels of the first operand that it is, unchanged (slice); () if they are none."""
        return ()

    def infer_types(self, operands: Sequence[TensorType]) -> tuple[TensorType, ...]:
        """`infer`, with the count of the operands checked: always a tuple."""
        least, most = arity(type(self))
        if not least <= len(operands) <= most:
            wanted = str(least) if least == most else f"{least} to {most}" if most < 1000 else f"{least} or more"
            raise ValueError(f"takes {wanted} operand{'' if wanted == '1' else 's'}, not {len(operands)}")
        made = self.infer(*operands)
        return made if isinstance(made, tuple) else (made,)

    def compute(self, operands: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """`reference`, always a tuple."""
        made = self.reference(*operands)
        return made if isinstance(made, tuple) else (made,)

    def attributes(self) -> dict[str, Any]:
        """Those that differ from their default: what is worth printing."""
        pairs = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, (value, default) in pairs.items() if not is_same_attribute(value, default)}

    def all_attributes(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


class Elementwise(Op):
    """An operator that is one scalar expression; hence it may ride on the kernel that makes its operand.

    `scalar` is the only definition: on tensors it is the reference, on a recorder it writes a kernel's lines.
    The result has the type of the first operand. The others have it too or, in an operator with an attribute
    `axis`, the shape of some of its dimensions from that axis on: `[c]` at axis 1 is one number per channel.
    """

    def scalar(self, m: Any, *operands: Any) -> Any:
        raise NotImplementedError(self.name)

    def pointwise_in(self, operand: int) -> bool:
        return True

    def operand_axes(self, operands: Sequence[TensorType]) -> tuple[int | None, ...]:
        """For each operand the axis of the result at which its shape starts; None if it has the whole shape.

        ValueError if one fits nowhere.
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
                raise ValueError(f"operand {i + 1} is {type}, which is no part of {whole} from axis {axis} on")
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
        return result.to(x.dtype)  # one that only chooses between constants has torch's default type


def broadcast_view(t: Tensor, axis: int | None, rank: int) -> Tensor:
    """A view that broadcasts over the dimensions beside its own."""
    return t if axis is None else t.reshape(*[1] * axis, *t.shape, *[1] * (rank - axis - t.ndim))


@dataclass_transform(frozen_default=True)
def op(name: str) -> Callable[[type[T]], type[T]]:
    """Freeze the class and enter it in the registry under the name that the text uses."""

    def enter(cls: type[T]) -> type[T]:
        cls.name = name
        REGISTRY[name] = frozen = dataclass(frozen=True)(cls)
        return frozen

    return enter


def make_op(name: str, attributes: dict[str, Any]) -> Op:
    """An operator by the name and attributes that a text gives. ValueError with a plain sentence otherwise."""
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


def did_you_mean(word: str, known: Any) -> str:
    """`; did you mean conv?`, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


_ARITY: dict[type[Op], tuple[int, int]] = {}


def arity(cls: type[Op]) -> tuple[int, int]:
    """How few and how many operands an operator takes, as the signature that defines it says."""
    if cls not in _ARITY:
        scalar = issubclass(cls, Elementwise) and cls.infer is Elementwise.infer
        method: Any = getattr(cls, "scalar" if scalar else "infer")
        code, defaults = method.__code__, len(method.__defaults__ or ())
        count = code.co_argcount - (2 if scalar else 1)
        _ARITY[cls] = (count - defaults or 1, 1_000_000 if code.co_flags & 0x04 else count)
    return _ARITY[cls]


def coerce_attribute(name: str, annotation: str, value: Any) -> Any:
    """An attribute as its field's type. ValueError if it is something else."""
    match annotation:
        case "Ints" | "Ints | None":  # equal numbers are one
            if value is None and "None" in annotation:
                return None
            whole = (value,) if isinstance(value, int) else value
            if isinstance(whole, list | tuple) and all(type(v) is int for v in whole):
                return tuple(whole[:1]) if len(set(whole)) == 1 else tuple(whole)
        case "tuple[int, ...]":
            if type(value) is int:
                return (value,)
            if isinstance(value, list | tuple) and all(type(v) is int for v in value):
                return tuple(value)
        case "tuple[float, ...]":
            if type(value) in (int, float):
                return (float(value),)
            if isinstance(value, list | tuple) and all(type(v) in (int, float) for v in value):
                return tuple(map(float, value))
        case "int" | "int | None":
            if type(value) is int or (value is None and "None" in annotation):
                return value
        case "float":
            if type(value) in (int, float):
                return float(value)
        case "bool":
            if type(value) is bool:
                return value
        case "str":
            if isinstance(value, str):
                return value
        case _:
            return value
    kinds = {"Ints": "a whole number or a list of them", "int": "a whole number", "float": "a number"}
    kinds |= {"tuple[int, ...]": kinds["Ints"], "tuple[float, ...]": "a number or a list of them"}
    wanted = kinds.get(annotation.removesuffix(" | None"), f"a {annotation}")
    raise ValueError(f"{name} is {wanted}, not {value!r}")


def is_same_attribute(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return repr(a) == repr(b)  # NaN is itself, and minus zero is not zero
    return bool(a == b)


def per_axis(numbers: Ints, axes: int, name: str) -> Ints:
    """One number for each image axis; a single number stands for all. ValueError on another count."""
    if len(numbers) not in (1, axes):
        raise ValueError(f"{name} has {len(numbers)} numbers, the image {axes} axes")
    return numbers * axes if len(numbers) == 1 else numbers
