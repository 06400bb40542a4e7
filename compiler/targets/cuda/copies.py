"""Lowers elementwise chains and data movement: relayout, concat, slice, reshape, transpose, crop, flip, tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ...errors import Unsupported
from ...ops.indexing import Crop, Flip, Tile, Transpose
from ...ops.shape import Slice
from .arithmetic import ceil_div, next_power_of_two
from .epilogue import make_epilogue, operands_with_axes
from .hardware import LARGEST_GRID
from .kernel_spec import KernelProblem, KernelSpec, constexprs, numbers
from .parameters import Constexpr, Group, Number, Parameter, Pointer, stride_parameter
from .space import Space, collapsed_space
from .view import MAX_ELEMENTS, View, strides
from .windows import plane_strides

BLOCK = 1024
MAX_COPIES = 16  # in one kernel, whose file grows with each
COORDINATES = ("i0", "i1", "i2", "i3")


def lower_elementwise(work: KernelProblem) -> Sequence[KernelSpec]:
    y, views = work.results[0], work.views
    operands = [(views[v], start) for node in work.kernel.nodes for v, start in operands_with_axes(node) if v in views]
    space = collapsed_space(y, operands)
    epilogue = make_epilogue(work.kernel, space, views)
    extents, steps = space_parameters(space, y)
    parameters = {
        "y": Pointer(("result", 0), y),
        "extra": epilogue.extra,
        **extents,
        **{f"y_{letter}": stride for letter, stride in zip("ijkl", steps, strict=True)},
        **constexprs(BLOCK=BLOCK),
    }
    return [KernelSpec("elementwise", parameters, (ceil_div(y.numel, BLOCK), 1, 1), epilogue=epilogue)]


def space_parameters(space: Space, view: View) -> tuple[dict[str, Parameter], list[Parameter]]:
    """COUNT and the extents J, K, L of a space of up to four coordinates, and the view's strides along all four.

    An extent of the channel axis alone is a compile-time constant, so that dividing by it is cheap.
    Unsupported for 2³¹ elements or more.
    """
    if space.result.numel >= MAX_ELEMENTS:
        raise Unsupported(f"{space.result.numel} elements are too many for a kernel's 32-bit index")
    extents: dict[str, Parameter] = {"COUNT": Number(space.result.numel)}
    steps = space.operand_strides(view, None)
    assert steps is not None, "the space was made for this view"
    for letter, name in zip("JKL", COORDINATES[1:], strict=True):
        axes = space.axes.get(name, ())
        size = space.result.extent(axes)
        extents[letter] = Constexpr(size) if axes in ((), (1,)) else Number(size)
    return extents, [stride_parameter(steps.get(name, 0), "i64" if name == "i0" else "i32") for name in COORDINATES]


def lower_relayout(work: KernelProblem) -> Sequence[KernelSpec]:
    (number, x), y = work.operand(0), work.results[0]
    if y.is_same_view(x):  # the result aliases the operand
        return []
    if x.shape[0] > LARGEST_GRID[2]:
        return copy_operand(work, x)
    c, pixels = x.shape[1], tuple(range(2, len(x.shape)))
    count = x.extent(pixels)
    tile_channels = next_power_of_two(c, most=32)
    tile_pixels = 2048 // tile_channels if tile_channels < 32 else 64
    parameters = {
        "y": Pointer(("result", 0), y),
        "x": Pointer(("operand", number), x),
        **numbers(P=count),
        **plane_strides(y, "y", pixels),
        **plane_strides(x, "x", pixels),
        **constexprs(C=c, PIXELS=tile_pixels, CHANNELS=tile_channels),
    }
    grid = (ceil_div(count, tile_pixels), ceil_div(c, tile_channels), x.shape[0])
    return [KernelSpec("relayout", parameters, grid)]


@dataclass(frozen=True, slots=True)
class CopyEnd:
    """Source or destination of a copy: a value, and the part of it that is copied, `start` elements into it."""

    pointer: Pointer
    part: View
    start: int = 0


def slice_end(pointer: Pointer, axis: int, start: int, stop: int) -> CopyEnd:
    return CopyEnd(pointer, pointer.view.slice_axis(axis, start, stop), start * pointer.view.strides[axis])


def lower_concat(work: KernelProblem) -> Sequence[KernelSpec]:
    """Copy each operand to its part of the result, except those that alias it."""
    y = Pointer(("result", 0), work.results[0])
    axis = work.anchor.op.all_attributes()["axis"] % len(y.view.shape)
    operands = [
        Pointer(("operand", number), view) for number, view in map(work.operand, range(len(work.anchor.inputs)))
    ]
    cuts = pairwise([0, *accumulate(x.view.shape[axis] for x in operands)])
    return lower_copies([(slice_end(y, axis, *cut), CopyEnd(x, x.view)) for x, cut in zip(operands, cuts, strict=True)])


def lower_slice(work: KernelProblem) -> Sequence[KernelSpec]:
    """Copy each part of the operand to its result, except those that alias it."""
    op, (number, view) = work.anchor.op, work.operand(0)
    assert isinstance(op, Slice)
    x, axis = Pointer(("operand", number), view), op.axis % len(view.shape)
    results = [Pointer(("result", i), y) for i, y in enumerate(work.results)]
    cuts = pairwise(op.cut_points(work.anchor.inputs[0].type))
    return lower_copies([(CopyEnd(y, y.view), slice_end(x, axis, *cut)) for y, cut in zip(results, cuts, strict=True)])


def lower_reshape(work: KernelProblem) -> Sequence[KernelSpec]:
    """A copy in row-major order; no kernel if the result aliases the operand."""
    (number, x), y = work.operand(0), work.results[0]
    same_shape = View(y.dtype, x.shape, strides(x.shape), y.at)
    return lower_copies([(CopyEnd(Pointer(("result", 0), y), same_shape), CopyEnd(Pointer(("operand", number), x), x))])


def lower_transpose(work: KernelProblem) -> Sequence[KernelSpec]:
    x, op = work.operand(0)[1], work.anchor.op
    assert isinstance(op, Transpose)
    shape, steps = (tuple(numbers[a] for a in op.order) for numbers in (x.shape, x.strides))
    return copy_operand(work, View(x.dtype, shape, steps, x.at))


def lower_crop(work: KernelProblem) -> Sequence[KernelSpec]:
    op, rank = work.anchor.op, len(work.results[0].shape)
    assert isinstance(op, Crop)
    return copy_range(work, op.axis % rank, op.starts(rank))


def lower_flip(work: KernelProblem) -> Sequence[KernelSpec]:
    """A copy from the last element on along each flipped axis, backwards."""
    x, op = work.operand(0)[1], work.anchor.op
    assert isinstance(op, Flip)
    axes = {axis % len(x.shape) for axis in op.axes}
    steps = tuple(-s if a in axes else s for a, s in enumerate(x.strides))
    return copy_operand(work, View(x.dtype, x.shape, steps), sum((x.shape[a] - 1) * x.strides[a] for a in axes))


def copy_range(work: KernelProblem, first: int, starts: Sequence[int]) -> Sequence[KernelSpec]:
    """Copy the part of the operand with the result's sizes that begins at `starts` along the axes from `first` on."""
    part, y, begin = work.operand(0)[1], work.results[0], 0
    for axis, start in enumerate(starts, first):
        begin += start * part.strides[axis]
        part = part.slice_axis(axis, start, start + y.shape[axis])
    return copy_operand(work, part, begin)


def copy_operand(work: KernelProblem, part: View, start: int = 0) -> Sequence[KernelSpec]:
    """Copy a view of the operand, which begins `start` elements into it, to the whole result."""
    (number, x), y = work.operand(0), work.results[0]
    source = CopyEnd(Pointer(("operand", number), x), part, start)
    return lower_copies([(CopyEnd(Pointer(("result", 0), y), y), source)])


def lower_tile(work: KernelProblem) -> Sequence[KernelSpec]:
    """A copy for each repetition. Unsupported for more than MAX_COPIES."""
    (number, x), y, op = work.operand(0), work.results[0], work.anchor.op
    assert isinstance(op, Tile)
    if op.tiles > MAX_COPIES:
        raise Unsupported(f"{op.tiles} copies are too many for one kernel; it has {MAX_COPIES} at most")
    axis, source = op.axis % len(x.shape), CopyEnd(Pointer(("operand", number), x), x)
    size, result = x.shape[axis], Pointer(("result", 0), y)
    return lower_copies([(slice_end(result, axis, k * size, (k + 1) * size), source) for k in range(op.tiles)])


def lower_copies(copies: Sequence[tuple[CopyEnd, CopyEnd]]) -> Sequence[KernelSpec]:
    """One kernel for all copies (destination, source), except empty ones and those whose ends are the same bytes."""
    copied, longest = list[Parameter](), 0
    for y, x in copies:
        if y.part.is_same_view(x.part) or not y.part.numel:
            continue
        space = collapsed_space(y.part, [(x.part, None)])
        extents, steps = space_parameters(space, y.part)
        starts = (Number(y.start), Number(x.start))
        copied.append(
            Group((y.pointer, x.pointer, *starts, *extents.values(), *steps, *space_parameters(space, x.part)[1]))
        )
        longest = max(longest, y.part.numel)
    parameters: dict[str, Parameter] = {"pieces": Group(tuple(copied)), **constexprs(BLOCK=BLOCK)}
    return [KernelSpec("copy_parts", parameters, (ceil_div(longest, BLOCK), len(copied), 1))] if copied else []
