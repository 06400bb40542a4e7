"""Copies as C: permutations, crops, tiles, parts of a concat, another layout; and steps that have nothing to do.

A copy is boxes. Each is loops around the copy of one number, from a place in an operand to a place in the result, and
says by how much each loop moves both along their axes. So one writer, and one proof that no number is read or written
outside of its value, serve all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..arena import strides_in, strides_of
from ..extents import divide_value, extent_of, is_computed
from ..plan import Plan, Shape, Slot
from .epilogue import format_float
from .image import first_float
from .site import NAME, NotNative, Place, Site, WrittenStep
from .split import split
from .written import indent

NOTHING = WrittenStep("nothing", "in place already", "", 0)
NUMBERS_A_MICROSECOND = 1000  # that one core copies one by one
MOST_LOOPS = 16


@dataclass(frozen=True, slots=True)
class Loop:
    """So many times, and how many floats further the operand's and the result's place are each time."""

    count: int
    read: int
    write: int

    @property
    def is_run(self) -> bool:
        """True if it walks through contiguous numbers of both."""
        return self.read == self.write == 1


@dataclass(frozen=True, slots=True)
class Copy:
    """A box in floats: its loops, and where it begins in the result and in an operand (None: it writes `value`)."""

    operand: int | None
    value: float
    read: int
    write: int
    loops: tuple[Loop, ...]

    @property
    def count(self) -> int:
        return prod(loop.count for loop in self.loops)


def write_nothing(site: Site) -> WrittenStep:
    """The step `alias`: its results are in place. NotNative if one is nowhere in the operands."""
    reads = [extent_of(site.slot(name)) for name in site.step.operands if is_computed(name, site.plan)]
    for name in site.step.results:
        made = extent_of(site.slot(name))
        if made.start != made.stop and not any(made.overlaps(read) for read in reads):
            raise NotNative(f"{name} is not where its operands are")
    return NOTHING


def write_relayout(site: Site) -> WrittenStep:
    """The step `relayout`: the same images in another layout."""
    x, y = site.slot(site.step.operands[0]), site.slot(site.step.results[0])
    if len(x.dims) != 4 or x.dims != y.dims or not x.is_static:
        raise NotNative("it moves no images of two axes")
    return write_boxes(site, [whole_box(y.bounds)], f"to {y.layout}: {list(y.bounds)}")


def write_copy(site: Site) -> WrittenStep:
    """The step `copy`: boxes of the operands."""
    y = site.slot(site.step.results[0])
    return write_boxes(site, site.payload["boxes"], f"{site.payload['what']}: {list(y.bounds)}")


def whole_box(dims: Shape) -> dict[str, Any]:
    """The box that copies a value of these dims."""
    unit = [[int(i == axis) for i in range(len(dims))] for axis in range(len(dims))]
    start = [0] * len(dims)
    return {"from": 0, "read": start, "write": start, "loops": [[n, e, e] for n, e in zip(dims, unit, strict=True)]}


def write_boxes(site: Site, boxes: Sequence[Mapping[str, Any]], doc: str) -> WrittenStep:
    """The function that copies all boxes. NotNative if one leaves its operand or the result, or they overlap."""
    (name,), operands = site.step.results, site.step.operands
    result = site.slot(name)
    site.require_apart()
    copies = [copy for box in boxes if (copy := resolve_box(site, box, result)).count]
    if sum(copy.count for copy in copies) > prod(result.bounds):
        raise NotNative("it copies more numbers than the result has")
    lines, tasks = list[str](), 0
    for copy in copies:
        body, count = write_loops(site, copy)
        if copy is not copies[-1]:
            body = [f"if (task < {count}) {{", *indent(body), "    return;", "}", f"task -= {count};"]
        lines += body
        tasks += count
    text = [f"static void {NAME}(const float *const *in, float *out, int task)", "{", *indent(lines), "}"]
    places = tuple(place_of(site, operand) for operand in operands)
    return WrittenStep("copy", doc, "\n".join(text) + "\n", tasks, places, 0)


def parts_in_place(plan: Plan, whole: str, axis: int, parts: Sequence[str]) -> list[bool]:
    """Which of the parts that a value is divided into along an axis are where that value has them."""
    if not is_computed(whole, plan):
        return [False] * len(parts)
    return [is_there for _, is_there in divide_value(plan, whole, axis, parts)]


def place_of(site: Site, name: str) -> Place:
    """Where an operand's numbers begin; a weight is packed as it is."""
    if name in site.plan.weights:
        return site.weight_place(name)
    return site.place(name, 0, exact=True)


def resolve_box(site: Site, box: Mapping[str, Any], result: Slot) -> Copy:
    """A box in floats. NotNative if it leaves a value."""
    loops: Sequence[Any] = box["loops"]
    if len(loops) > MOST_LOOPS:
        raise NotNative(f"it has {len(loops)} loops")
    number, read, steps = box.get("from"), 0, [0] * len(loops)
    if number is not None:
        name = site.step.operands[number]
        if name in site.plan.weights:
            dims: Shape = site.weight_shape(name)
            strides, first = strides_of(dims, "nchw"), 0
        else:
            dims, strides, first = strides_as(site.slot(name), box.get("from_dims"))
        read, steps = locate(dims, strides, first, box["read"], [(n, by) for n, by, _ in loops])
    dims, strides, first = strides_as(result, box.get("to_dims"))
    write, moves = locate(dims, strides, first, box["write"], [(n, by) for n, _, by in loops])
    made = tuple(Loop(n, a, b) for (n, *_), a, b in zip(loops, steps, moves, strict=True) if n != 1)
    return Copy(number, box.get("value", 0.0), read, write, merge_loops(made))


def strides_as(slot: Slot, dims: Sequence[int] | None) -> tuple[Shape, Shape, int]:
    """A value's dims, strides and first float; with `dims` as another shape of the same numbers.

    NotNative if it is not f32 and of known size, or these dims are neither parts of its own nor its numbers contiguous.
    """
    if slot.dtype != "f32" or not slot.is_static:
        raise NotNative("it copies f32 of known size")
    strides, first = strides_in(slot, slot.bounds)
    at = first_float(slot) + first
    if dims is None:
        return slot.bounds, strides, at
    if prod(dims) != prod(slot.bounds) or min(dims, default=1) < 1:
        raise NotNative(f"{list(slot.bounds)} has no shape {list(dims)}")
    if strides == strides_of(slot.bounds, "nchw"):
        return tuple(dims), strides_of(tuple(dims), "nchw"), at
    return tuple(dims), divide_strides(slot.bounds, strides, dims), at


def divide_strides(dims: Shape, strides: Shape, parts: Sequence[int]) -> Shape:
    """The strides of dimensions `parts`, into which each of `dims` is divided. NotNative if they are none of these."""
    made, left = list[int](), list(parts)
    for size, stride in zip(dims, strides, strict=True):
        while size > 1 or (left and left[0] == 1):
            if not left or size % left[0]:
                raise NotNative("another shape needs contiguous numbers")
            size //= left.pop(0)
            made.append(size * stride)
    return tuple(made)


def locate(
    dims: Shape, strides: Shape, first: int, start: Sequence[int], loops: Sequence[tuple[int, Sequence[int]]]
) -> tuple[int, list[int]]:
    """The float at which a box begins, and the floats that each loop moves on. NotNative if it leaves the dims."""
    if len(start) != len(dims) or any(len(by) != len(dims) or count < 0 for count, by in loops):
        raise NotNative("a box has other axes than its value")
    if all(count for count, _ in loops):
        for axis, size in enumerate(dims):
            moves = [(count - 1) * by[axis] for count, by in loops]
            low, high = (start[axis] + sum(pick(m, 0) for m in moves) for pick in (min, max))
            if low < 0 or high >= size:
                raise NotNative(f"a box reaches from {low} to {high} along axis {axis} of {list(dims)}")
    at = first + sum(i * stride for i, stride in zip(start, strides, strict=True))
    return at, [sum(i * stride for i, stride in zip(by, strides, strict=True)) for _, by in loops]


def merge_loops(loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """The loops in the order of the result's memory; those that walk on together through contiguous numbers are one.

    So are others while there are more than three: the compiler makes vectors of the inner two.
    """
    made = list[Loop]()
    for loop in sorted(loops, key=lambda loop: (abs(loop.write), abs(loop.read))):
        inner = made[-1] if made else None
        if inner and (inner.read * inner.count, inner.write * inner.count) == (loop.read, loop.write) and inner.is_run:
            made[-1] = Loop(inner.count * loop.count, inner.read, inner.write)
        else:
            made.append(loop)
    made.reverse()
    for k in reversed(range(1, len(made))):
        outer, inner = made[k - 1], made[k]
        if len(made) > 3 and (inner.read * inner.count, inner.write * inner.count) == (outer.read, outer.write):
            made[k - 1 : k + 1] = [Loop(outer.count * inner.count, inner.read, inner.write)]
    return tuple(made)


def write_loops(site: Site, copy: Copy) -> tuple[list[str], int]:
    """The lines that copy a box, and the number of tasks: each has some turns of the outermost one or two loops."""
    loops = copy.loops or (Loop(1, 0, 0),)
    inner_count = 1 if copy.operand is not None and loops[-1].is_run else 2
    outer_count = min(max(len(loops) - inner_count, 1), 2)
    outer, inner = loops[:outer_count], loops[outer_count:]
    turns = prod(loop.count for loop in outer)
    per = split(site.machine, turns, copy.count / NUMBERS_A_MICROSECOND)
    names = ["i"] if len(outer) == 1 else [f"(i / {outer[1].count})", f"(i % {outer[1].count})"]
    y, x = (add_terms(f"{base} + {at}L" if at else base, names, steps) for base, at, steps in (
        ("out", copy.write, [loop.write for loop in outer]),
        (f"in[{copy.operand}]", copy.read, [loop.read for loop in outer]),
    ))  # fmt: skip
    body = [f"float *y = {y};"]
    body += [f"const float *x = {x};"] * (copy.operand is not None)
    body += write_inner(copy, inner)
    head = f"for (long i = task * {per}L; i < (task + 1) * {per}L && i < {turns}; i++) {{"
    return [head, *indent(body), "}"], -(-turns // per)


def write_inner(copy: Copy, loops: Sequence[Loop]) -> list[str]:
    """The inner loops around the copy of a number, or of contiguous ones."""
    is_run = copy.operand is not None and bool(loops) and loops[-1].is_run
    around = loops[:-1] if is_run else loops
    names = [f"j{k}" for k in range(len(around))]
    lines = [
        f"{'    ' * k}for (long {name} = 0; {name} < {loop.count}; {name}++)"
        for k, (name, loop) in enumerate(zip(names, around, strict=True))
    ]
    y, x = (add_terms("", names, steps) for steps in ([l.write for l in around], [l.read for l in around]))
    if is_run:
        last = f"memcpy({join('y', y)}, {join('x', x)}, {4 * loops[-1].count}L);"
    else:
        number = format_float(copy.value) if copy.operand is None else f"x[{x or 0}]"
        last = f"y[{y or 0}] = {number};"
    return [*lines, "    " * len(around) + last]


def join(base: str, terms: str) -> str:
    return f"{base} + {terms}" if terms else base


def add_terms(base: str, names: Sequence[str], steps: Sequence[int]) -> str:
    """`base` and the floats that loops have moved on."""
    terms = [name if step == 1 else f"{name} * {step}L" for name, step in zip(names, steps, strict=True) if step]
    return " + ".join([*[base] * bool(base), *terms])
