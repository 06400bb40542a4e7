"""Lowers linear layers (matrix products) and softmax."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Unsupported
from ...ops.dense import Linear, Softmax
from .convolution import precision_of
from .epilogue import Operand, make_epilogue
from .kernel_spec import KernelProblem, KernelSpec, ceil_div, constexprs, extents, next_power_of_two
from .parameters import Number, Pointer, stride_parameter
from .space import collapse_axes, memory_order, row_space
from .tiles import matmul_tile
from .view import View, contiguous


def lower_linear(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Linear)
    (x_number, x), (w_number, weight) = work.operand(0), work.operand(1)
    y, axis = work.results[0], op.axis % len(x.shape)
    outer, inner = tuple(range(axis)), tuple(range(axis, len(x.shape)))
    n, k, o = x.extent(outer), x.extent(inner), y.shape[-1]
    name, precision = precision_of(x, work.strict)
    tile = matmul_tile("linear", name, n, o, k)
    rows = next_power_of_two(n, 16, tile.rows)  # with few rows, larger tiles would not save weight loads
    depth = next_power_of_two(k, 16, 64 if rows == 16 else tile.depth)
    bias: Operand | None = (work.anchor.inputs[2], len(y.shape) - 1) if len(work.anchor.inputs) == 3 else None
    epilogue = make_epilogue(work.kernel, row_space(y), work.views, work.anchor, bias)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", x_number), x),
        "weight": Pointer(("operand", w_number), contiguous(weight.dtype, weight.shape)),
        "extra": epilogue.extra,
        **extents(N=n),
        "y_n": Number(require_stride(y, outer), "i64"),
        "y_c": stride_parameter(require_stride(y, (axis,))),
        "x_n": Number(require_stride(x, outer), "i64"),
        "x_k": stride_parameter(require_stride(x, inner)),
        **constexprs(K=k, O=o, ROWS=rows, COLUMNS=tile.columns, DEPTH=depth, PRECISION=precision),
    }
    packed = {w_number: ((1, 0), weight.shape[::-1])} if op.transpose else {}
    grid = (ceil_div(o, tile.columns), ceil_div(n, rows), 1)
    return [KernelSpec("linear", parameters, grid, tile.warps, tile.stages, epilogue, weight_packing=packed)]


def lower_softmax(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Softmax)
    (number, x), y = work.operand(0), work.results[0]
    axis = op.axis % len(x.shape)
    rest = [a for a in memory_order(y) if a != axis]
    outer, inner = outer_and_inner(collapse_axes(y, [(x, None)], rest))
    count, block = x.extent(outer) * x.extent(inner), next_power_of_two(x.shape[axis], 16, 1024)
    rows = next_power_of_two(count, most=max(1024 // block, 1))
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **extents(COUNT=count, INNER=x.extent(inner)),
        "y_o": Number(require_stride(y, outer), "i64"),
        "y_i": stride_parameter(require_stride(y, inner)),
        "y_a": stride_parameter(y.strides[axis]),
        "x_o": Number(require_stride(x, outer), "i64"),
        "x_i": stride_parameter(require_stride(x, inner)),
        "x_a": stride_parameter(x.strides[axis]),
        **constexprs(AXIS=x.shape[axis], ROWS=rows, BLOCK=block),
    }
    return [KernelSpec("softmax", parameters, (ceil_div(count, rows), 1, 1))]


def outer_and_inner(groups: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes other than the softmax axis, collapsed to an outer and an inner group. Unsupported if there are more."""
    if len(groups) > 2:
        raise Unsupported("the axes other than the softmax axis need more than two strides")
    return groups[0] if len(groups) > 1 else (), groups[-1] if groups else ()


def require_stride(view: View, axes: tuple[int, ...]) -> int:
    """The single stride over several axes. Unsupported if there is none."""
    stride = view.merged_stride(axes)
    if stride is None:
        raise Unsupported(f"axes {list(axes)} of a value of shape {list(view.shape)} have no common stride")
    return stride
