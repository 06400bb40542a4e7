"""Lowers operators that only move numbers to native copies: boxes of loops around the copy of one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from ....runtime.artifact import Plan, Step
from ....runtime.native.source import parts_in_place
from ...ir import Node, Value
from ...kernel import kernel_graph
from ...op import Op, per_axis
from ...ops.indexing import Crop, Flip, Reorg, Tile, Transpose
from ...ops.resize import Upsample
from ...ops.shape import Concat, Pad, Reinterpret, Slice
from .lowering import alias_step

Ints = Sequence[int]
Box = dict[str, Any]  # see runtime/native/movement.py


def lower_movement(node: Node, plan: Plan) -> tuple[Step, ...]:
    """The copies of a node, one for each result; () if it computes, or a size is known only when the net runs."""
    if not all(v.type.is_static for v in (*node.inputs, *node.results)):
        return ()
    match node.op:
        case Concat():
            return lower_concat(node, plan)
        case Slice():
            return lower_slice(node, plan)
    if len(node.results) != 1 or not node.inputs:
        return ()
    boxes = boxes_of(node.op, node.inputs[0].type.shape, node.output.type.shape)
    return (copy_step(node, node.output, node.inputs[:1], boxes),) if boxes else ()


def copy_step(node: Node, result: Value, operands: Sequence[Value], boxes: list[Box]) -> Step:
    attributes = {"boxes": boxes, "what": node.op.name}
    return Step("native.copy", attributes, tuple(v.name for v in operands), (result.name,), kernel_graph(node).name)


def lower_concat(node: Node, plan: Plan) -> tuple[Step, ...]:
    """The copy of the operands that are not in place."""
    y, axis = node.output, node.op.axis % node.output.type.rank  # type: ignore[attr-defined]
    in_place = parts_in_place(plan, y.name, axis, [v.name for v in node.inputs])
    operands, boxes, start = list[Value](), list[Box](), 0
    for v, is_there in zip(node.inputs, in_place, strict=True):
        if not is_there:
            boxes.append(copy_box(v.type.shape, write=one(y.type.rank, axis, start), operand=len(operands)))
            operands.append(v)
        start += v.type.shape[axis]
    return (copy_step(node, y, operands, boxes),)


def lower_slice(node: Node, plan: Plan) -> tuple[Step, ...]:
    """A copy for each result that is not in place."""
    (x,), axis, start, steps = node.inputs, node.op.axis % node.inputs[0].type.rank, 0, list[Step]()  # type: ignore[attr-defined]
    in_place = parts_in_place(plan, x.name, axis, [v.name for v in node.results])
    for y, is_there in zip(node.results, in_place, strict=True):
        if is_there:
            steps.append(alias_step(Node(node.op, node.inputs, (y,), node.loc)))
        else:
            steps.append(copy_step(node, y, (x,), [copy_box(y.type.shape, read=one(x.type.rank, axis, start))]))
        start += y.type.shape[axis]
    return tuple(steps)


def one(rank: int, axis: int, number: int = 1) -> list[int]:
    """A vector with `number` along an axis, and 0 along all others."""
    return [number if i == axis else 0 for i in range(rank)]


def copy_box(shape: Ints, read: Ints | None = None, write: Ints | None = None, operand: int = 0) -> Box:
    """The box of a value's part of this shape, from `read` on, which becomes the part from `write` on."""
    rank = len(shape)
    loops = [[n, one(rank, axis), one(rank, axis)] for axis, n in enumerate(shape)]
    return {"from": operand, "read": list(read or [0] * rank), "write": list(write or [0] * rank), "loops": loops}


def fill_box(shape: Ints, write: Ints, value: float) -> Box:
    loops = [[n, [], one(len(shape), axis)] for axis, n in enumerate(shape)]
    return {"from": None, "value": value, "write": list(write), "loops": loops}


def boxes_of(op: Op, x: Ints, y: Ints) -> list[Box]:
    """The boxes that an operator copies from an operand of shape x to its result of shape y; [] if it computes."""
    for kind, make in MOVEMENTS.items():
        if isinstance(op, kind):
            return make(op, x, y)
    return []


def transpose_boxes(op: Transpose, x: Ints, y: Ints) -> list[Box]:
    rank = len(y)
    loops = [[n, one(rank, op.order[axis]), one(rank, axis)] for axis, n in enumerate(y)]
    return [copy_box(y) | {"loops": loops}]


def flip_boxes(op: Flip, x: Ints, y: Ints) -> list[Box]:
    rank, flipped = len(y), {axis % len(y) for axis in op.axes}
    read = [n - 1 if axis in flipped else 0 for axis, n in enumerate(y)]
    loops = [[n, one(rank, axis, -1 if axis in flipped else 1), one(rank, axis)] for axis, n in enumerate(y)]
    return [copy_box(y, read) | {"loops": loops}]


def crop_boxes(op: Crop, x: Ints, y: Ints) -> list[Box]:
    return [copy_box(y, [*[0] * (op.axis % len(x)), *op.starts(len(x))])]


def tile_boxes(op: Tile, x: Ints, y: Ints) -> list[Box]:
    box, axis = copy_box(x), op.axis % len(x)
    return [box | {"loops": [*box["loops"], [op.tiles, one(len(x), axis, 0), one(len(x), axis, x[axis])]]}]


def upsample_boxes(op: Upsample, x: Ints, y: Ints) -> list[Box]:
    rank, scales = len(x), (1, 1, *per_axis(op.scale, len(x) - 2, "scale"))
    loops = [[n, one(rank, axis), one(rank, axis, s)] for axis, (n, s) in enumerate(zip(x, scales, strict=True))]
    loops += [[s, one(rank, axis, 0), one(rank, axis)] for axis, s in enumerate(scales)]
    return [copy_box(x) | {"loops": loops}]


def pad_boxes(op: Pad, x: Ints, y: Ints) -> list[Box]:
    """The numbers, and around them, axis by axis, what is before and after those of the axes so far."""
    before, kept = [max(n, 0) for n in op.before], list[int]()
    for size, first, last in zip(x, op.before, op.after, strict=True):
        kept.append(size + min(first, 0) + min(last, 0))
    boxes = [copy_box(kept, [max(-n, 0) for n in op.before], before)]
    for axis, size in enumerate(y):
        after = before[axis] + kept[axis]
        for start, stop in ((0, before[axis]), (after, size)):
            shape = [*kept[:axis], stop - start, *y[axis + 1 :]]
            boxes.append(fill_box(shape, [*before[:axis], start, *[0] * (len(y) - axis - 1)], op.value))
    return [box for box in boxes if prod(loop[0] for loop in box["loops"])]


def reorg_boxes(op: Reorg, x: Ints, y: Ints) -> list[Box]:
    (n, c, h, w), s = x, op.stride
    if op.reverse:
        given, order = (n, s, s, c // s**2, h, w), (0, 3, 4, 1, 5, 2)
    else:
        given, order = (n, c // s**2, h, s, w, s), (0, 3, 5, 1, 2, 4)
    made = [given[axis] for axis in order]
    box = transpose_boxes(Transpose(order), given, made)[0]
    return [box | {"from_dims": list(given), "to_dims": made}]


def reinterpret_boxes(op: Reinterpret, x: Ints, y: Ints) -> list[Box]:
    return [copy_box([prod(x)]) | {"from_dims": [prod(x)], "to_dims": [prod(y)]}]


MOVEMENTS: dict[type[Op], Callable[[Any, Ints, Ints], list[Box]]] = {
    Transpose: transpose_boxes,
    Flip: flip_boxes,
    Crop: crop_boxes,
    Tile: tile_boxes,
    Upsample: upsample_boxes,
    Pad: pad_boxes,
    Reorg: reorg_boxes,
    Reinterpret: reinterpret_boxes,
}
