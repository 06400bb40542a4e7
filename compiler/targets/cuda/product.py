"""Lowers matrix products to a kernel with TMA loads (sm_90): linear layers, and convolutions of single pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...ir import Node
from .arithmetic import ceil_div
from .epilogue import Epilogue, Operand, make_epilogue, reason_not_readable
from .hardware import NEWEST_ARCHITECTURE
from .kernel_spec import KernelProblem, KernelSpec, Packing, constexprs, extents
from .matmul_model import choose_tile
from .parameters import Constexpr, Counters, Descriptor, Number, Parameter, Pointer, Scratch, stride_parameter
from .space import Space
from .tiles import MatmulProblem, TileShape
from .view import View, contiguous

ALIGNMENT = 16  # bytes: TMA requires multiples of it of addresses and of strides (CUDA, cuTensorMapEncodeTiled)


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product y[row, o] = Σ x[row, k] weight[o, k] of a kernel's anchor.

    `rows` are the axes of x and of y that are its rows, `inner` those of x that are k, and `outer` that of y that is o.
    `order` is that of the weight's axes as [o, k].
    """

    work: KernelProblem
    dtype: str
    rows: tuple[int, ...]
    inner: tuple[int, ...]
    outer: int
    order: tuple[int, ...]
    space: Space
    bias: Operand | None


def lower_product(it: Product) -> KernelSpec | None:
    """The spec of a product; None if TMA cannot read its operands, or rows or channels have no common stride."""
    work, y = it.work, it.work.results[0]
    x_number, x = work.operand(0)
    n, k, o = x.extent(it.rows), x.extent(it.inner), work.anchor.output.type.shape[it.outer]
    x_n, x_k, y_n, y_c = (
        v.merged_stride(axes) for v, axes in ((x, it.rows), (x, it.inner), (y, it.rows), (y, (it.outer,)))
    )
    if not can_pack_parts(work, it.dtype) or x_k != 1 or None in (x_n, y_n, y_c):
        return None
    assert x_n is not None and y_n is not None and y_c is not None
    stride = x_n if n > 1 else ceil_div(k, ALIGNMENT) * ALIGNMENT
    if not x.is_aligned or stride * x.itemsize % ALIGNMENT or k * x.itemsize % ALIGNMENT:
        return None
    if reason_not_readable(epilogue_nodes(work), it.space, work.views) or not writes_slices(work, it.space):
        return None
    problem = MatmulProblem("product", it.dtype, n, o, k, results=len(work.results))
    tile = work.settings.tile or choose_tile(problem)
    if tile is None:
        return None
    epilogue = make_epilogue(work.kernel, it.space, work.views, work.anchor, it.bias, work.results[1:])
    programs = ceil_div(n, tile.rows) * ceil_div(o, tile.columns)
    descriptor = ((n, k), (stride, 1), (tile.rows, tile.depth))
    weights = WeightOperands(work, it.dtype, it.order, (o, k))
    parameters: dict[str, Parameter] = {
        "y": Pointer(("result", 0), y),
        "x": Descriptor(("operand", x_number), x.dtype, x.itemsize, *descriptor),
        **weights.descriptors((tile.columns, tile.depth)),
        "extra": epilogue.extra,
        **split_parameters(tile, programs),
        **extents(N=n),
        "y_n": Number(y_n, "i64"),
        "y_c": stride_parameter(y_c),
        **constexprs(K=k, O=o, OWN=y.shape[it.outer], ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth),
        **constexprs(SPLIT=tile.split),
    }
    return make_tma_spec("product", parameters, problem, tile, programs, epilogue, weights)


def make_tma_spec(
    template: str,
    parameters: Mapping[str, Parameter],
    problem: MatmulProblem,
    tile: TileShape,
    programs: int,
    epilogue: Epilogue,
    weights: WeightOperands,
) -> KernelSpec:
    """The spec of a template with TMA loads; `programs` compute a tile of the result each, or a part of its sum."""
    return KernelSpec(
        template,
        parameters,
        (programs, tile.split, 1),
        tile.warps,
        tile.stages,
        epilogue,
        (NEWEST_ARCHITECTURE,),
        weights.packing(),
        problem=problem,
        tile=tile,
    )


def epilogue_nodes(work: KernelProblem) -> Sequence[Node]:
    """The elementwise nodes after the anchor."""
    return [node for node in work.kernel.nodes[1:] if not node.slice_ranges]


def writes_slices(work: KernelProblem, space: Space) -> bool:
    """True if the results after the first, which are slices, have single strides in these coordinates."""
    return all(space.operand_strides(view, None) is not None for view in work.results[1:])


def can_pack_parts(work: KernelProblem, dtype: str) -> bool:
    """True if the anchor's weight can be packed for TMA; of f32 it has to be finite, as ∞ times a rest of 0 is NaN."""
    number = work.operand(1)[0]
    return number in work.constants and (dtype == "f16" or number not in work.infinite)


@dataclass(frozen=True, slots=True)
class WeightOperands:
    """The weight of a kernel with TMA loads, packed to `shape` with its axes in `order`; of f32 in two parts."""

    work: KernelProblem
    dtype: str
    order: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def number(self) -> int:
        return self.work.operand(1)[0]

    @property
    def rest_number(self) -> int:
        return len(self.work.operands)

    @property
    def view(self) -> View:
        """Either part as it is packed."""
        return contiguous(self.work.operand(1)[1].dtype, self.shape)

    def packing(self) -> dict[int, Packing]:
        if self.dtype == "f16":
            return pack_weight(self.work, self.order, self.shape)
        parts = {self.number: "big", self.rest_number: "rest"}
        return {n: Packing(self.number, self.order, self.shape, part) for n, part in parts.items()}

    def descriptors(self, box: tuple[int, ...]) -> dict[str, Parameter]:
        """The parameters of the kernel with TMA loads, which copies boxes of this shape."""
        view = self.view
        weight, rest = (
            Descriptor(("operand", n), view.dtype, view.itemsize, view.shape, view.strides, box)
            for n in (self.number, self.rest_number)
        )
        return {"weight": weight, "rest": Constexpr(None) if self.dtype == "f16" else rest}

    def pointers(self) -> dict[str, Parameter]:
        """The parameters of the kernel for older GPUs, which reads the same packed weight."""
        weight, rest = (Pointer(("operand", n), self.view) for n in (self.number, self.rest_number))
        return {"weight": weight, "rest": Constexpr(None) if self.dtype == "f16" else rest}


def pack_weight(work: KernelProblem, order: tuple[int, ...], shape: tuple[int, ...]) -> dict[int, Packing]:
    """The packing of the anchor's weight; empty if it is contiguous with its axes in this order already."""
    number, weight = work.operand(1)
    moved = [a for a in order if weight.shape[a] > 1]
    return {} if moved == sorted(moved) and weight.is_contiguous else {number: Packing(number, order, shape)}


def split_parameters(tile: TileShape, programs: int) -> dict[str, Parameter]:
    """Memory for the parts of the sums, and a counter for each tile, if several programs compute one."""
    if tile.split == 1:
        return constexprs(partial=None, counters=None)
    return {
        "partial": Scratch(4 * programs * tile.split * tile.rows * tile.columns),
        "counters": Counters(programs),
    }
