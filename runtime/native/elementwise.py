"""Elementwise chains as C: one walk over all pixels, a vector at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ..arena import strides_in, strides_of
from ..plan import Slot
from .epilogue import write_expression
from .image import Image, first_float, image_of
from .site import NAME, Extra, NotNative, Site, WrittenStep
from .split import split
from .written import indent

BYTES_A_MICROSECOND = 8000  # of one core, from its caches
LIBM_MICROSECONDS = 0.004  # for one number of a function without a vector form
SLOW = {"log", "log1p", "expm1", "tanh", "erf", "pow", "sign", "round", "floor", "ceil"}


def write_elementwise(site: Site) -> WrittenStep:
    """The step `map`: code lines over values of the result's shape, and vectors of one number a channel."""
    y, operands = read_operands(site)
    v, code = site.machine.vector, site.payload["code"]
    rows = y.images * y.height
    last = (y.channels - 1) % v + 1
    slow = sum(line[0] in SLOW for line in code)
    time = y.pixels * y.channels * (4 * (len(operands) + 1) / BYTES_A_MICROSECOND + slow * LIBM_MICROSECONDS)
    function = [f"INLINE vec {NAME}_each({', '.join(f'vec x{k}' for k in range(len(operands)))})", "{"]
    function += [*indent(write_expression(code, [f"x{k}" for k in range(len(operands))])), "}", ""]
    # rows of pixels that follow one another are one row; a single row is cut into runs of vectors
    flat = y.is_flat and y.col == y.channels and all(e.col == y.channels and e.is_flat(y) for e in operands)
    if flat:
        count = y.pixels * y.channels
        y = Image(1, count, 1, 1, y.at, count, count, count)
        vectors = site.machine.vectors(count)
        per = split(site.machine, vectors, time)
        last = (count - 1) % v + 1
        full = vectors if last == v else vectors - 1
        call = f"{NAME}_each({', '.join(f'LOAD(in[{k}] + i)' for k in range(len(operands)))})"
        lines = [f"long stop = (task + 1) * {per * v}L < {full * v} ? (task + 1) * {per * v}L : {full * v};"]
        lines.append(f"for (long i = task * {per * v}L; i < stop; i += {v}) STORE(out + i, {call});")
        tasks = -(-vectors // per)
        if last != v:
            lines.append(f"if (task == {tasks - 1}) {{ long i = {full * v}; store_lanes(out + i, {call}, {last}); }}")
    else:
        per = split(site.machine, rows, time)
        lines, tasks = pixel_loop(y, operands, rows, per, v, last), -(-rows // per)
    text = [*function, f"static void {NAME}(const float *const *in, float *out, int task)", "{", *indent(lines), "}"]
    words = ", ".join(str(line[0]) for line in code)
    return WrittenStep(
        "map", f"{words}: {y.step_shape()}", "\n".join(text) + "\n", tasks, tuple(e.place for e in operands), y.at
    )


def pixel_loop(y: Image, operands: list[Extra], rows: int, per: int, v: int, last: int) -> list[str]:
    """Row by row, pixel by pixel, vector by vector."""
    n, i = (f"i / {y.height}", f"i % {y.height}") if y.images > 1 else ("0", "i")

    def place(base: str, image: int, row: int, col: int) -> str:
        terms = [base] + [f"{n} * {image}L"] * (image != 0 and n != "0") + [f"{i} * {row}L"] * (row != 0)
        return " + ".join([*terms, *[f"j * {col}L"] * (col != 0)])

    body = [f"float *y = {place('out', y.image, y.row, y.col)};"]
    body += [f"const float *x{k} = {place(f'in[{k}]', e.image, e.row, e.col)};" for k, e in enumerate(operands)]
    reads = [f"splat(x{k}[0])" if e.is_scalar else f"LOAD(x{k} + c)" for k, e in enumerate(operands)]
    call = f"{NAME}_each({', '.join(reads)})"
    full = y.channels if last == v else y.channels - last
    if full:
        body.append(f"for (int c = 0; c < {full}; c += {v}) STORE(y + c, {call});")
    if last != v:
        body.append(f"{{ int c = {full}; store_lanes(y + c, {call}, {last}); }}")
    lines = [f"for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++)"]
    return [*lines, f"    for (int j = 0; j < {y.width}; j++) {{", *indent(indent(body)), "    }"]


def read_operands(site: Site) -> tuple[Image, list[Extra]]:
    """The result and the operands, as images or, where all are contiguous in nchw, as numbers or planes."""
    result, names, axes = site.slot(site.step.results[0]), site.step.operands, site.payload["axes"]
    y = image_of(result)
    if y is None:
        slots = [result, *(site.slot(name) for name in names if name in site.plan.slots)]
        is_flat = set(axes) == {None} and not any(map(has_gaps, slots))
        return read_flat(site, result) if is_flat else read_planes(site, result)
    made = [
        site.extra(name, y, result.bounds)
        if axis is None or is_channel_vector(site, name, axis)
        else read_spread(site, name, axis, inner=1)
        for name, axis in zip(names, axes, strict=True)
    ]
    return y, made


def read_planes(site: Site, result: Slot) -> tuple[Image, list[Extra]]:
    """Operands in nchw, each plane as one pixel of all its numbers, and operands that are spread over planes.

    Images of a channel range have gaps between them.
    """
    pairs = list(zip(site.step.operands, site.payload["axes"], strict=True))
    require_same_order(site, result, [name for name, axis in pairs if axis is None])
    n, c, *sizes = (*result.bounds, 1)
    plane = prod(sizes)
    y = Image(n, plane, c, 1, first_of_range(result), plane, plane, image_stride(result))
    vector = Image(n, c, 1, 1, 0, c, c, c)  # as which the numbers of all channels are packed
    made = []
    for name, axis in pairs:
        if axis is None:
            slot = site.slot(name)
            made.append(Extra(site.place(name, first_of_range(slot)), image_stride(slot), y.row, y.col))
        elif is_channel_vector(site, name, axis):
            made.append(replace(site.extra(name, vector, ()), row=1, is_scalar=True))
        else:
            made.append(read_spread(site, name, axis, inner=2))
    return y, made


def is_channel_vector(site: Site, name: str, axis: int) -> bool:
    """True for a weight that has one number for each channel."""
    return axis == 1 and name in site.plan.weights and len(site.weight_shape(name)) == 1


def read_spread(site: Site, name: str, axis: int, inner: int) -> Extra:
    """An operand with some axes of a result [n, c, h, w], from `axis` on; along the others one number stands for all.

    Vectors run along channels (`inner` is 1) or along planes, as whose rows the channels count then (2).
    """
    if name in site.plan.weights:
        shape = site.weight_shape(name)
        strides, first = strides_of(shape, "nchw"), 0
        place = site.weight_place(name)
    else:
        slot = site.slot(name)
        if slot.dtype != "f32" or not slot.is_static:
            raise NotNative(f"{name} is no f32 of known size")
        shape = slot.bounds
        strides, first = strides_in(slot, shape)
        place = site.place(name, first_float(slot) + first)
    along = site.slot(site.step.results[0]).bounds[axis : axis + len(shape)] if axis >= 0 else ()
    if len(along) != len(shape) or any(n not in (1, whole) for n, whole in zip(shape, along, strict=True)):
        raise NotNative(f"{name} has other sizes than the result from axis {axis} on")
    moves = {axis + i: stride for i, (size, stride) in enumerate(zip(shape, strides, strict=True)) if size > 1}
    spread = NotNative(f"{name} is spread along axis {axis}")
    if inner == 1:
        if moves.get(1, 1) != 1 or max(moves, default=0) > 3:
            raise spread
        return Extra(place, moves.get(0, 0), moves.get(2, 0), moves.get(3, 0), is_scalar=1 not in moves)
    plane = [k for k in moves if k > 1]
    sizes = site.slot(site.step.results[0]).bounds
    if plane and (prod(shape[max(2 - axis, 0) :]) != prod(sizes[2:]) or moves[plane[-1]] != 1):
        raise spread
    return Extra(place, moves.get(0, 0), moves.get(1, 0), 0, is_scalar=not plane)


def read_flat(site: Site, result: Slot) -> tuple[Image, list[Extra]]:
    """Operands and result as one row of numbers."""
    require_same_order(site, result, site.step.operands)
    slots = [site.slot(name) for name in site.step.operands]
    count = prod(result.bounds)
    y = Image(1, count, 1, 1, first_of_range(result), count, count, count)
    places = [site.place(n, first_of_range(s)) for n, s in zip(site.step.operands, slots, strict=True)]
    return y, [Extra(p, count, count, count) for p in places]


def require_same_order(site: Site, result: Slot, operands: Sequence[str]) -> None:
    """NotNative unless these operands and the result are the same numbers in the same order, but for channel ranges."""
    for slot in (result, *map(site.slot, operands)):
        if slot.dtype != "f32" or not slot.is_static or slot.halo or (slot.channels and slot.layout != "nchw"):
            raise NotNative("its operands are not contiguous")
        if (slot.layout, slot.dims) != (result.layout, result.dims):
            raise NotNative("its operands have another layout or shape")


def has_gaps(slot: Slot) -> bool:
    """True if it is a channel range of several images."""
    return slot.channels is not None and slot.bounds[0] > 1


def first_of_range(slot: Slot) -> int:
    """The float at which a value without a border begins."""
    return first_float(slot) + (slot.channels[0] * prod(slot.bounds[2:]) if slot.channels else 0)


def image_stride(slot: Slot) -> int:
    """The floats from one image to the next."""
    return prod(slot.stored_shape[1:])
