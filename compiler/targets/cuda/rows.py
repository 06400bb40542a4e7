"""Lowers operators along axes, the others being rows: softmax, normalization by length or deviation, sums, maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...errors import Unsupported
from ...float32 import with_float32_attributes
from ...ops.dense import Softmax
from ...ops.norm import L2Normalize
from ...ops.reduce import Argmax, Reduce, Standardize
from .arithmetic import ceil_div, next_power_of_two
from .kernel_spec import KernelProblem, KernelSpec, constexprs, extents
from .parameters import Number, Parameter, Pointer, stride_parameter
from .space import collapse_axes, memory_order
from .view import View

LARGEST_BLOCK = 1024  # elements of rows per step of a program of four warps


class RowTile(NamedTuple):
    """Rows and elements of each that a program computes in one step, and the number of programs."""

    rows: int
    block: int
    programs: int


def choose_row_tile(count: int, length: int) -> RowTile:
    """The tile for so many rows of a length."""
    block = next_power_of_two(length, 16, LARGEST_BLOCK)
    rows = next_power_of_two(count, most=max(LARGEST_BLOCK // block, 1))
    return RowTile(rows, block, ceil_div(count, rows))


def lower_softmax(work: KernelProblem) -> Sequence[KernelSpec]:
    op = work.anchor.op
    assert isinstance(op, Softmax)
    return lower_along(work, "softmax", (op.axis % len(work.results[0].shape),), {})


def lower_l2_normalize(work: KernelProblem) -> Sequence[KernelSpec]:
    op = with_float32_attributes(work.anchor.op)
    assert isinstance(op, L2Normalize)
    axes = tuple(range(1, len(work.results[0].shape))) if op.across else (1,)
    return lower_along(work, "l2_normalize", axes, constexprs(EPS=op.eps))


def lower_standardize(work: KernelProblem) -> Sequence[KernelSpec]:
    op = with_float32_attributes(work.anchor.op)
    assert isinstance(op, Standardize)
    rank = len(work.results[0].shape)
    per = {axis % rank for axis in op.per}
    settings = constexprs(EPS=op.eps, IN_VARIANCE=op.eps_in == "variance", SCALED=op.scaled)
    return lower_along(work, "standardize", tuple(axis for axis in range(rank) if axis not in per), settings)


def lower_along(
    work: KernelProblem,
    template: str,
    axes: tuple[int, ...],
    settings: dict[str, Parameter],
    one_each: bool = False,
) -> Sequence[KernelSpec]:
    """The spec of a template that computes each row, or one number of it, from the row of x; `axes` are those of a row.

    Unsupported if the axes have no common stride, or the others need more than two.
    """
    (number, x), y = work.operand(0), work.results[0]
    along = tuple(a for a in memory_order(x) if a in axes)
    rest = [a for a in memory_order(y) if a not in axes]
    outer, inner = outer_and_inner(collapse_axes(y, [(x, None)], rest))
    count, length = x.extent(outer) * x.extent(inner), x.extent(along)
    tile = choose_row_tile(count, length)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **extents(COUNT=count, INNER=x.extent(inner)),
        "y_o": Number(require_stride(y, outer), "i64"),
        "y_i": stride_parameter(require_stride(y, inner)),
        **({} if one_each else {"y_a": stride_parameter(require_stride(y, along))}),
        "x_o": Number(require_stride(x, outer), "i64"),
        "x_i": stride_parameter(require_stride(x, inner)),
        "x_a": stride_parameter(require_stride(x, along)),
        **constexprs(AXIS=length),
        **settings,
        **constexprs(ROWS=tile.rows, BLOCK=tile.block),
    }
    return [KernelSpec(template, parameters, (tile.programs, 1, 1))]


def lower_reduce(work: KernelProblem) -> Sequence[KernelSpec]:
    op = with_float32_attributes(work.anchor.op)
    assert isinstance(op, Reduce)
    (number, x), y = work.operand(0), work.results[0]
    axis = op.axis % len(x.shape)
    rows, along = tuple(range(axis)), tuple(a for a in memory_order(x) if a >= axis)
    count, length = x.extent(rows), x.extent(along)
    tile = choose_row_tile(count, length)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **extents(COUNT=count),
        "y_r": stride_parameter(require_stride(y, rows)),
        "x_r": Number(require_stride(x, rows), "i64"),
        "x_a": stride_parameter(require_stride(x, along)),
        **constexprs(AXIS=length, HOW=op.how, COEFF=op.coeff, ROWS=tile.rows, BLOCK=tile.block),
    }
    return [KernelSpec("reduce", parameters, (tile.programs, 1, 1))]


def lower_argmax(work: KernelProblem) -> Sequence[KernelSpec]:
    """The spec for the index of the largest element. Unsupported for more than one, or the elements themselves."""
    op = work.anchor.op
    assert isinstance(op, Argmax)
    if op.top > 1 or op.numbers:
        raise Unsupported("the cuda target has a kernel for the index of the largest element only")
    axis = op.axis % len(work.results[0].shape)
    return lower_along(work, "argmax", (axis,), {}, one_each=True)


def outer_and_inner(groups: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of rows, collapsed to an outer and an inner group. Unsupported if there are more."""
    if len(groups) > 2:
        raise Unsupported("the axes of its rows need more than two strides")
    return groups[0] if len(groups) > 1 else (), groups[-1] if groups else ()


def require_stride(view: View, axes: tuple[int, ...]) -> int:
    """The single stride over several axes. Unsupported if there is none."""
    stride = view.merged_stride(axes)
    if stride is None:
        raise Unsupported(f"axes {list(axes)} of a value of shape {list(view.shape)} have no common stride")
    return stride
