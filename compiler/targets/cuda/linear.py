"""Lowers linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...ops.dense import Linear
from .arithmetic import ceil_div, next_power_of_two
from .convolution import precision_of
from .epilogue import Operand, make_epilogue
from .hardware import OLDEST_ARCHITECTURE
from .kernel_spec import KernelProblem, KernelSpec, constexprs, extents
from .parameters import Constexpr, Number, Pointer, stride_parameter
from .product import Product, lower_product, pack_weight
from .rows import require_stride
from .space import row_space
from .tiles import MatmulProblem, rule_tile


def lower_linear(work: KernelProblem) -> Sequence[KernelSpec]:
    """The specs for a linear layer with its epilogue, the newest architecture first."""
    op, x, y = work.anchor.op, work.operand(0)[1], work.results[0]
    assert isinstance(op, Linear)
    precision, _ = precision_of(x, work.settings.strict)
    rank, axis = len(y.shape), op.axis % len(x.shape)
    bias: Operand | None = (work.anchor.inputs[2], rank - 1) if len(work.anchor.inputs) == 3 else None
    order = (1, 0) if op.transpose else (0, 1)
    rows, inner = tuple(range(axis)), tuple(range(axis, len(x.shape)))
    it = Product(work, precision, rows, inner, axis, order, row_space(y), bias)
    newest = lower_product(it) if precision != "f32-strict" else None
    if newest is None:
        return [lower_linear_by_pointers(it)]
    return [newest, replace(lower_linear_by_pointers(it, newest), architectures=(OLDEST_ARCHITECTURE,))]


def lower_linear_by_pointers(it: Product, newest: KernelSpec | None = None) -> KernelSpec:
    """The spec for any strides and architecture; it reads the weight as `newest` does, the kernel with TMA loads."""
    work = it.work
    (x_number, x), (w_number, weight), y = work.operand(0), work.operand(1), work.results[0]
    n, k, o = x.extent(it.rows), x.extent(it.inner), y.shape[-1]
    tile = rule_tile(MatmulProblem("linear", it.dtype, n, o, k))
    rows = next_power_of_two(n, 16, tile.rows)  # with few rows, larger tiles would not save weight loads
    depth = next_power_of_two(k, 16, 64 if rows == 16 else tile.depth)
    epilogue = make_epilogue(work.kernel, it.space, work.views, work.anchor, it.bias)
    packed = newest.weight_packing if newest else pack_weight(work, it.order, (o, k))
    rest = next((n for n, packing in packed.items() if packing.part == "rest"), None)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", x_number), x),
        "weight": Pointer(("operand", w_number), weight),
        "rest": Constexpr(None) if rest is None else Pointer(("operand", rest), weight),
        "extra": epilogue.extra,
        **extents(N=n),
        "y_n": Number(require_stride(y, it.rows), "i64"),
        "y_c": stride_parameter(require_stride(y, (it.outer,))),
        "x_n": Number(require_stride(x, it.rows), "i64"),
        "x_k": stride_parameter(require_stride(x, it.inner)),
        **constexprs(K=k, O=o, ROWS=rows, COLUMNS=tile.columns, DEPTH=depth),
        **constexprs(PRECISION=precision_of(x, work.settings.strict)[1]),
    }
    grid = (ceil_div(o, tile.columns), ceil_div(n, rows), 1)
    return KernelSpec("linear", parameters, grid, tile.warps, tile.stages, epilogue, weight_packing=packed)
