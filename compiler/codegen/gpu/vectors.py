"""Operators on rows of numbers: matrix products and softmax."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CompileError
from ...ops.dense import Linear, Softmax
from .convolution import precision_of
from .draft import Draft, Work, blocks, constants, extents, power_of_two
from .epilogue import Operand, write
from .parameters import Number, Pointer, step
from .space import in_memory, merged, rows
from .tiles import product_tile
from .view import View, contiguous


def linear(work: Work) -> Sequence[Draft]:
    op = work.anchor.op
    assert isinstance(op, Linear)
    (x_number, x), (w_number, weight) = work.operand(0), work.operand(1)
    y, axis = work.results[0], op.axis % len(x.shape)
    outer, inner = tuple(range(axis)), tuple(range(axis, len(x.shape)))
    n, k, o = x.extent(outer), x.extent(inner), y.shape[-1]
    name, precision = precision_of(x, work.strict)
    tile = product_tile("linear", name, n, o, k)
    tall = power_of_two(n, 16, tile.rows)  # few rows: the weights are read once anyway
    deep = power_of_two(k, 16, 64 if tall == 16 else tile.depth)
    bias: Operand | None = (work.anchor.inputs[2], len(y.shape) - 1) if len(work.anchor.inputs) == 3 else None
    epilogue = write(work.kernel, rows(y), work.views, work.anchor, bias)
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", x_number), x),
        "weight": Pointer(("operand", w_number), contiguous(weight.dtype, weight.shape)),
        "extra": epilogue.extra,
        **extents(N=n),
        "y_n": Number(along(y, outer), "i64"),
        "y_c": step(along(y, (axis,))),
        "x_n": Number(along(x, outer), "i64"),
        "x_k": step(along(x, inner)),
        **constants(K=k, O=o, ROWS=tall, COLUMNS=tile.columns, DEPTH=deep, PRECISION=precision),
    }
    packed = {w_number: ((1, 0), weight.shape[::-1])} if op.transpose else {}
    grid = (blocks(o, tile.columns), blocks(n, tall), 1)
    return [Draft("linear", parameters, grid, tile.warps, tile.stages, epilogue, packed=packed)]


def softmax(work: Work) -> Sequence[Draft]:
    op = work.anchor.op
    assert isinstance(op, Softmax)
    (number, x), y = work.operand(0), work.results[0]
    axis = op.axis % len(x.shape)
    rest = [a for a in in_memory(y) if a != axis]
    outer, inner = two(merged(y, [(x, None)], rest))
    count, block = x.extent(outer) * x.extent(inner), power_of_two(x.shape[axis], 16, 1024)
    tall = power_of_two(count, most=max(1024 // block, 1))
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **extents(COUNT=count, INNER=x.extent(inner)),
        "y_o": Number(along(y, outer), "i64"),
        "y_i": step(along(y, inner)),
        "y_a": step(y.strides[axis]),
        "x_o": Number(along(x, outer), "i64"),
        "x_i": step(along(x, inner)),
        "x_a": step(x.strides[axis]),
        **constants(AXIS=x.shape[axis], ROWS=tall, BLOCK=block),
    }
    return [Draft("softmax", parameters, (blocks(count, tall), 1, 1))]


def two(groups: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of rows as an outer and an inner group. CompileError if there are more."""
    if len(groups) > 2:
        raise CompileError("the rows beside its axis lie in more than two pieces")
    return groups[0] if len(groups) > 1 else (), groups[-1] if groups else ()


def along(view: View, axes: tuple[int, ...]) -> int:
    """The stride of axes run over as one. CompileError if they cannot be."""
    stride = view.along(axes)
    if stride is None:
        raise CompileError(f"axes {list(axes)} of a value of shape {list(view.shape)} do not lie in a row")
    return stride
