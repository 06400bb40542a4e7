"""Elementwise chains, and kernels that move numbers and change none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ...errors import CompileError
from ...ops.moving import Crop, Transpose
from ...ops.shape import Slice
from .draft import Draft, Work, blocks, constants, numbers, power_of_two
from .epilogue import placed, write
from .parameters import Constant, Group, Number, Parameter, Pointer, step
from .space import Space, stored
from .view import LARGEST, View, strides
from .windows import plane

BLOCK = 1024
NAMES = ("i0", "i1", "i2", "i3")


def elementwise(work: Work) -> Sequence[Draft]:
    y, views = work.results[0], work.views
    read = [(views[v], start) for node in work.kernel.nodes for v, start in placed(node) if v in views]
    space = stored(y, read)
    epilogue = write(work.kernel, space, views)
    extents, steps = walk(space, y)
    parameters = {
        "y": Pointer(("result", 0), y),
        "extra": epilogue.extra,
        **extents,
        **{f"y_{letter}": stride for letter, stride in zip("ijkl", steps, strict=True)},
        **constants(BLOCK=BLOCK),
    }
    return [Draft("elementwise", parameters, (blocks(y.numel, BLOCK), 1, 1), epilogue=epilogue)]


def walk(space: Space, view: View) -> tuple[dict[str, Parameter], list[Parameter]]:
    """COUNT and the extents J, K, L of a space of up to four coordinates, and the view's strides along all four.

    An extent that is the channels' alone is a constant: dividing by it costs little then.
    """
    if space.result.numel >= LARGEST:
        raise CompileError(f"{space.result.numel} elements are more than a kernel counts")
    extents: dict[str, Parameter] = {"COUNT": Number(space.result.numel)}
    steps = space.steps(view, None)
    assert steps is not None, "the space was made for this view"
    for letter, name in zip("JKL", NAMES[1:], strict=True):
        axes = space.axes.get(name, ())
        size = space.result.extent(axes)
        extents[letter] = Constant(size) if axes in ((), (1,)) else Number(size)
    return extents, [step(steps.get(name, 0), "i64" if name == "i0" else "i32") for name in NAMES]


def relayout(work: Work) -> Sequence[Draft]:
    (number, x), y = work.operand(0), work.results[0]
    if y.same_place(x):
        return []
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


@dataclass(frozen=True, slots=True)
class End:
    """One side of a copy: a value, and the part of it that is read or written, `start` elements in."""

    pointer: Pointer
    part: View
    start: int = 0


def end(pointer: Pointer, axis: int, start: int, stop: int) -> End:
    return End(pointer, pointer.view.part(axis, start, stop), start * pointer.view.strides[axis])


def concat(work: Work) -> Sequence[Draft]:
    """Each operand to its part of the result, but for those that lie there already."""
    y = Pointer(("result", 0), work.results[0])
    axis = work.anchor.op.all_attributes()["axis"] % len(y.view.shape)
    operands = [
        Pointer(("operand", number), view) for number, view in map(work.operand, range(len(work.anchor.inputs)))
    ]
    cuts = pairwise([0, *accumulate(x.view.shape[axis] for x in operands)])
    return copied([(end(y, axis, *cut), End(x, x.view)) for x, cut in zip(operands, cuts, strict=True)])


def slices(work: Work) -> Sequence[Draft]:
    """Each part of the operand to its result, but for those that are it already."""
    op, (number, view) = work.anchor.op, work.operand(0)
    assert isinstance(op, Slice)
    x, axis = Pointer(("operand", number), view), op.axis % len(view.shape)
    results = [Pointer(("result", i), y) for i, y in enumerate(work.results)]
    cuts = pairwise(op.cuts(work.anchor.inputs[0].type))
    return copied([(End(y, y.view), end(x, axis, *cut)) for y, cut in zip(results, cuts, strict=True)])


def reshape(work: Work) -> Sequence[Draft]:
    """A copy in Caffe's order; nothing, if the result is written over the operand."""
    (number, x), y = work.operand(0), work.results[0]
    same_shape = View(y.dtype, x.shape, strides(x.shape), y.at)
    return copied([(End(Pointer(("result", 0), y), same_shape), End(Pointer(("operand", number), x), x))])


def transpose(work: Work) -> Sequence[Draft]:
    (number, x), y, op = work.operand(0), work.results[0], work.anchor.op
    assert isinstance(op, Transpose)
    shape, steps = (tuple(numbers[a] for a in op.order) for numbers in (x.shape, x.strides))
    turned = View(x.dtype, shape, steps, x.at)
    return copied([(End(Pointer(("result", 0), y), y), End(Pointer(("operand", number), x), turned))])


def crop(work: Work) -> Sequence[Draft]:
    (number, x), y, op = work.operand(0), work.results[0], work.anchor.op
    assert isinstance(op, Crop)
    part, begin = x, 0
    for axis, start in enumerate(op.starts(len(x.shape)), op.axis % len(x.shape)):
        part = part.part(axis, start, start + y.shape[axis])
        begin += start * x.strides[axis]
    return copied([(End(Pointer(("result", 0), y), y), End(Pointer(("operand", number), x), part, begin))])


def copied(copies: Sequence[tuple[End, End]]) -> Sequence[Draft]:
    """One launch for all copies (to, from) that move anything."""
    pieces, longest = list[Parameter](), 0
    for y, x in copies:
        if y.part.same_place(x.part) or not y.part.numel:
            continue
        space = stored(y.part, [(x.part, None)])
        extents, steps = walk(space, y.part)
        starts = (Number(y.start), Number(x.start))
        pieces.append(Group((y.pointer, x.pointer, *starts, *extents.values(), *steps, *walk(space, x.part)[1])))
        longest = max(longest, y.part.numel)
    parameters: dict[str, Parameter] = {"pieces": Group(tuple(pieces)), **constants(BLOCK=BLOCK)}
    return [Draft("pieces", parameters, (blocks(longest, BLOCK), len(pieces), 1))] if pieces else []
