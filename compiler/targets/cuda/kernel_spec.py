"""The problem that a GPU kernel solves, and its specification: template, parameters, grid, warps, epilogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...errors import Unsupported
from ...ir import Graph, Node, Value
from .epilogue import Epilogue
from .hardware import NEWEST_ARCHITECTURE, OLDEST_ARCHITECTURE
from .parameters import Constexpr, Number, Parameter, stride_parameter
from .tiles import MatmulProblem, TileShape
from .view import MAX_ELEMENTS, View


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """How kernels are generated.

    `strict`: f32 products by FFMA, without tensor cores. `overlaps`: as of specs (`KernelSpec`). `tile`: for a matrix
    product by TMA, instead of the one that is chosen.
    """

    strict: bool = False
    overlaps: bool = False
    tile: TileShape | None = None


DEFAULTS = KernelSettings()


@dataclass(frozen=True, slots=True)
class KernelProblem:
    """A kernel to lower, with the views of its operands and results in the kernel's order.

    `constants`: the numbers of operands that are weights, which can be packed when the net is compiled; `infinite`:
    those of them that hold infinities or NaN.
    """

    kernel: Graph
    operands: tuple[View, ...]
    results: tuple[View, ...]
    constants: frozenset[int] = frozenset()
    settings: KernelSettings = DEFAULTS
    infinite: frozenset[int] = frozenset()

    @property
    def anchor(self) -> Node:
        return self.kernel.nodes[0]

    @property
    def views(self) -> dict[Value, View]:
        return dict(zip(self.kernel.inputs, self.operands, strict=True))

    def operand_number(self, value: Value) -> int:
        return self.kernel.inputs.index(value)

    def operand(self, i: int) -> tuple[int, View]:
        """The number, among the kernel's inputs, of the anchor's i-th operand, and its view."""
        number = self.operand_number(self.anchor.inputs[i])
        return number, self.operands[number]


@dataclass(frozen=True, slots=True)
class Packing:
    """How a weight is packed: operand `source` with its axes in `order`, and in a shape.

    `part`: all of it, or of f32 one of two parts, whose sum it is: "big", rounded to tf32, or the "rest".
    """

    source: int
    order: tuple[int, ...]
    shape: tuple[int, ...]
    part: str = ""


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """A template with its parameters, in the template's order; compiled for each of `architectures`.

    `weight_packing`: of the step's operands that are packed, by number; those beyond the kernel's own are added to it.
    `overlaps`: the kernel may be started before the launch before it has ended (programmatic dependent launch), for
    whose end it waits itself.
    `problem` and `tile`: of a kernel that multiplies matrices, for the model of its time.
    """

    template: str
    parameters: Mapping[str, Parameter]
    grid: tuple[int, int, int]
    warps: int = 4
    stages: int = 1
    epilogue: Epilogue | None = None
    architectures: tuple[str, ...] = (NEWEST_ARCHITECTURE, OLDEST_ARCHITECTURE)
    weight_packing: Mapping[int, Packing] = field(default_factory=dict)
    overlaps: bool = False
    problem: MatmulProblem | None = None
    tile: TileShape | None = None

    def allow_overlap(self) -> list[KernelSpec]:
        """The spec as one that overlaps for the newest architecture, which alone can, and as it was for the others."""
        if NEWEST_ARCHITECTURE not in self.architectures:
            return [self]
        others = tuple(a for a in self.architectures if a != NEWEST_ARCHITECTURE)
        newest = replace(self, architectures=(NEWEST_ARCHITECTURE,), overlaps=True)
        return [newest, *([replace(self, architectures=others)] if others else [])]


def constexprs(**values: object) -> dict[str, Parameter]:
    return {name: Constexpr(value) for name, value in values.items()}


def numbers(**values: int) -> dict[str, Parameter]:
    return {name: Number(value) for name, value in values.items()}


def extents(**values: int) -> dict[str, Parameter]:
    """Sizes of images, without an alignment hint: no address depends on their divisibility."""
    return {name: Number(value, has_alignment_hint=False) for name, value in values.items()}


def image_strides(view: View, name: str) -> dict[str, Parameter]:
    """The strides of an image [n, c, h, w] or [n, c, w] as `NAME_n`, `_h`, `_w`, `_c`. Unsupported if too large."""
    n, c, *spatial = view.strides
    h, w = spatial if len(spatial) == 2 else (0, spatial[0])
    if sum((size - 1) * stride for size, stride in zip(view.shape[1:], view.strides[1:], strict=True)) >= MAX_ELEMENTS:
        raise Unsupported(f"a picture of {list(view.shape[1:])} is too large for a kernel's 32-bit offsets")
    return {
        f"{name}_n": Number(n, "i64"),
        f"{name}_h": stride_parameter(h),
        f"{name}_w": stride_parameter(w),
        f"{name}_c": stride_parameter(c),
    }


def image_sizes(view: View) -> tuple[int, int, int, int]:
    """n, c, h, w of an image; h is 1 for [n, c, w]. Unsupported for images of other ranks."""
    if len(view.shape) not in (3, 4):
        raise Unsupported(f"the cuda target has kernels for images of one or two axes, and this is {list(view.shape)}")
    n, c, *spatial = view.shape
    return (n, c, 1, spatial[0]) if len(spatial) == 1 else (n, c, spatial[0], spatial[1])


def rows_and_columns(numbers: tuple[int, ...], missing: int) -> tuple[int, int]:
    """One number each for rows and columns; with a single image axis, `missing` is the number for rows."""
    return (missing, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
