"""Elementwise chains, and kernels that move numbers and change none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from ...ops.shape import Slice
from .draft import Draft, Work, blocks, constants, numbers, power_of_two
from .epilogue import placed, write
from .parameters import Constant, Group, Number, Parameter, Pointer, step
from .space import Space, stored
from .view import LARGEST, View, contiguous
from .windows import plane

BLOCK = 1024
NAMES = ("i0", "i1", "i2", "i3")


def elementwise(work: Work) -> Sequence[Draft]:
    y, views = work.results[0], work.views
    read = [(views[v], start) for node in work.kernel.nodes for v, start in placed(node) if v in views]
    space = stored(y, read)
    epilogue = write(work.kernel, space, views)
    extents, strides = walk(space, y)
    parameters = {
        "y": Pointer(("result", 0), y),
        "extra": epilogue.extra,
        **extents,
        **{f"y_{letter}": stride for letter, stride in zip("ijkl", strides, strict=True)},
        **constants(BLOCK=BLOCK),
    }
    return [Draft("elementwise", parameters, (blocks(y.numel, BLOCK), 1, 1), epilogue=epilogue)]


def walk(space: Space, view: View) -> tuple[dict[str, Parameter], list[Parameter]]:
    """COUNT and the extents J, K, L of a space of up to four coordinates, and the view's strides along all four.

    An extent that is the channels' alone is a constant: dividing by it costs little then.
    """
    if space.result.numel >= LARGEST:
        raise OverflowError(f"{space.result.numel} elements are more than a kernel can count")
    extents: dict[str, Parameter] = {"COUNT": Number(space.result.numel)}
    steps = space.steps(view, None)
    assert steps is not None, "the space was made for this view"
    for letter, name in zip("JKL", NAMES[1:], strict=True):
        axes = space.axes.get(name, ())
        size = space.result.extent(axes)
        extents[letter] = Constant(size) if axes in ((), (1,)) else Number(size)
    strides = [step(steps.get(name, 0), "i64" if name == "i0" else "i32") for name in NAMES]
    return extents, strides


def relayout(work: Work) -> Sequence[Draft]:
    (number, x), y = work.operand(0), work.results[0]
    c, pixels = x.shape[1], tuple(range(2, len(x.shape)))
    count = x.extent(pixels)
    wide = power_of_two(c, most=32)
    long = 2048 // wide if wide < 32 else 64
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **numbers(P=count),
        **plane(y, "y", pixels),
        **plane(x, "x", pixels),
        **constants(C=c, PIXELS=long, CHANNELS=wide),
    }
    return [Draft("relayout", parameters, (blocks(count, long), blocks(c, wide), x.shape[0]))]


def concat(work: Work) -> Sequence[Draft]:
    """Each operand to its part of the result, but for those that lie there already."""
    y, operands = work.results[0], work.anchor.inputs
    axis = work.anchor.op.all_attributes()["axis"] % len(y.shape)
    views = [work.operand(i)[1] for i in range(len(operands))]
    starts = [0, *accumulate(v.shape[axis] for v in views)]
    copies = []
    for i, (start, stop) in enumerate(pairwise(starts)):
        part = piece(y, axis, start, stop)
        if (i not in work.standing) and part.numel:
            copies.append((Pointer(("result", 0), part), Pointer(("operand", work.operand(i)[0]), views[i]), start))
    return copied([(y_, x_, start * y.strides[axis], 0) for y_, x_, start in copies])


def slices(work: Work) -> Sequence[Draft]:
    op, (number, x) = work.anchor.op, work.operand(0)
    assert isinstance(op, Slice)
    axis = op.axis % len(x.shape)
    copies = []
    for i, (start, stop) in enumerate(pairwise(op.cuts(work.anchor.inputs[0].type))):
        if i not in work.standing:
            part = piece(x, axis, start, stop)
            y = Pointer(("result", i), work.results[i])
            copies.append((y, Pointer(("operand", number), part), 0, start * x.strides[axis]))
    return copied(copies)


def reshape(work: Work) -> Sequence[Draft]:
    """A copy in Caffe's order; nothing, if the result is written over the operand."""
    (number, x), y = work.operand(0), work.results[0]
    whole = View(y.dtype, x.shape, contiguous(y.dtype, x.shape).strides, y.aligned)
    return [] if 0 in work.standing else copied([(Pointer(("result", 0), whole), Pointer(("operand", number), x), 0, 0)])


def piece(view: View, axis: int, start: int, stop: int) -> View:
    shape = (*view.shape[:axis], stop - start, *view.shape[axis + 1 :])
    aligned = view.aligned and start * view.strides[axis] * view.itemsize % 16 == 0
    return replace(view, shape=shape, aligned=aligned)


def copied(copies: Sequence[tuple[Pointer, Pointer, int, int]]) -> Sequence[Draft]:
    """One launch for all copies (y, x, elements at which y's and x's piece begin); none for none."""
    if not copies:
        return []
    pieces = []
    for y, x, y_start, x_start in copies:
        space = stored(y.view, [(x.view, None)])
        extents, y_strides = walk(space, y.view)
        x_strides = walk(space, x.view)[1]
        whole = [replace_view(p) for p in (y, x)]
        pieces.append(Group((*whole, Number(y_start), Number(x_start), *extents.values(), *y_strides, *x_strides)))
    longest = max(y.view.numel for y, *_ in copies)
    parameters: dict[str, Parameter] = {"pieces": Group(tuple(pieces)), **constants(BLOCK=BLOCK)}
    return [Draft("pieces", parameters, (blocks(longest, BLOCK), len(pieces), 1))]


def replace_view(pointer: Pointer) -> Pointer:
    return pointer
