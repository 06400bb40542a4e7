"""The parameters of a kernel, with their signature for Triton's compiler and their argument in the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .view import View

TRITON_DTYPES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "f64": "fp64", "i32": "i32", "i64": "i64", "u8": "u8"}
ValueRef = tuple[str, int]  # ("operand" or "result", its number)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The address of a value's first element."""

    ref: ValueRef
    view: View

    @property
    def signature(self) -> str:
        return f"*{TRITON_DTYPES[self.view.dtype]}"

    @property
    def is_aligned(self) -> bool:
        return self.view.is_aligned

    def argument(self) -> dict[str, Any]:
        return {self.ref[0]: self.ref[1]}


@dataclass(frozen=True, slots=True)
class Number:
    """A size or a stride, passed at launch so that one kernel serves every size; i64 for strides between pictures.

    `has_alignment_hint`: if the value is a multiple of 16, the compiler may use that, for vector loads and stores.
    """

    value: int
    signature: str = "i32"
    has_alignment_hint: bool = True

    @property
    def is_aligned(self) -> bool:
        return self.has_alignment_hint and self.value % 16 == 0

    def argument(self) -> dict[str, Any]:
        return {self.signature: self.value}


@dataclass(frozen=True, slots=True)
class Constexpr:
    """A compile-time constant."""

    value: Any
    signature = "constexpr"
    is_aligned = False

    def argument(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A TMA descriptor: shape, strides in elements (the last is 1) and tile (`box`), outermost axis first."""

    ref: ValueRef
    dtype: str
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    is_aligned = False

    @property
    def signature(self) -> str:
        return f"tensordesc<{TRITON_DTYPES[self.dtype]}{list(self.box)}>"

    def argument(self) -> dict[str, Any]:
        """Without `box` and `swizzle`, which Triton chooses: see aot.MachineCode.descriptors."""
        return {
            "descriptor": {
                "of": {self.ref[0]: self.ref[1]},
                "dtype": self.dtype,
                "shape": list(self.shape),
                "strides": [s * self.itemsize for s in self.strides[:-1]],
            }
        }


@dataclass(frozen=True, slots=True)
class Scratch:
    """The address of f32 memory that the kernel may write, of which launches before it may have left anything."""

    nbytes: int
    signature = "*fp32"
    is_aligned = True

    def argument(self) -> dict[str, Any]:
        return {"scratch": self.nbytes}


@dataclass(frozen=True, slots=True)
class Counters:
    """The address of i32 numbers that are 0 before the launch, and have to be 0 after it."""

    count: int
    signature = "*i32"
    is_aligned = True

    def argument(self) -> dict[str, Any]:
        return {"counters": self.count}


@dataclass(frozen=True, slots=True)
class Group:
    """Several parameters passed as one tuple."""

    members: tuple[Parameter, ...]
    is_aligned = False

    @property
    def signature(self) -> tuple[Any, ...]:
        return tuple(m.signature for m in self.members)


Parameter = Pointer | Number | Constexpr | Descriptor | Scratch | Counters | Group
Parameters = Mapping[str, Parameter]


def leaves(parameters: Parameters) -> Iterator[tuple[tuple[str | int, ...], Parameter]]:
    """Every parameter that is not a tuple, with its path: ("x",), ("extra", 0), ("pieces", 1, 3)."""

    def walk(path: tuple[str | int, ...], parameter: Parameter) -> Iterator[tuple[tuple[str | int, ...], Parameter]]:
        if not isinstance(parameter, Group):
            yield path, parameter
            return
        for i, member in enumerate(parameter.members):
            yield from walk((*path, i), member)

    for name, parameter in parameters.items():
        yield from walk((name,), parameter)


def launch_arguments(parameters: Parameters) -> list[dict[str, Any]]:
    """The arguments passed at launch, in order: all leaves but constants."""
    arguments = (p.argument() for _, p in leaves(parameters) if not isinstance(p, Group))
    return [argument for argument in arguments if argument is not None]


def stride_parameter(stride: int, signature: str = "i32") -> Parameter:
    """A stride: 0 and 1 are compile-time constants, others are arguments."""
    return Constexpr(stride) if stride in (0, 1) else Number(stride, signature)
