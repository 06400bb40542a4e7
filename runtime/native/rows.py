"""Softmax and normalizations over the numbers of each pixel as C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ..plan import Slot
from .epilogue import format_float
from .image import first_float, image_of
from .site import NAME, NotNative, Site, WrittenStep
from .split import split
from .written import indent


@dataclass(frozen=True, slots=True)
class Pixels:
    """A value as pixels of `count` numbers each that are `step` floats apart; places as those of an Image."""

    images: int
    height: int
    width: int
    at: int
    image: int
    row: int
    col: int
    count: int
    step: int

    def flat(self) -> Pixels:
        """The same as one row of pixels."""
        width = self.images * self.height * self.width
        return replace(self, images=1, height=1, width=width, image=0, row=0)


def pixels_of(slots: Sequence[Slot], axis: int) -> list[Pixels]:
    """Values of one shape as pixels whose numbers are along `axis`. NotNative if they are neither images nor dense."""
    images = [image_of(slot) if axis == 1 and len(slot.dims) > 1 else None for slot in slots]
    if all(images):
        found = [Pixels(i.images, i.height, i.width, i.at, i.image, i.row, i.col, i.channels, 1) for i in images if i]
        return [p.flat() for p in found] if all(i.is_flat for i in images if i) else found
    found = []
    for slot in slots:
        if slot.dtype != "f32" or not slot.is_static or slot.channels or slot.halo or slot.layout != "nchw":
            raise NotNative("its numbers are not in Caffe's order")
        dims, at = slot.bounds, first_float(slot)
        before, count, after = prod(dims[:axis]), dims[axis], prod(dims[axis + 1 :])
        if after == 1:
            found.append(Pixels(1, 1, before, at, 0, 0, count, count, 1))
        else:
            found.append(Pixels(before, 1, after, at, count * after, 0, 1, count, after))
    return found


def write_softmax(site: Site) -> WrittenStep:
    """The step `softmax` along an axis, as Caffe's does it: exp(x - largest) / sum (softmax_layer.cpp)."""
    slots = [site.slot(name) for name in (site.step.operands[0], site.step.results[0])]
    x, y = pixels_of(slots, site.payload["axis"] % len(slots[0].dims))
    return write_pixels(site, "softmax", x, y, "", 0.001)


def write_l2_normalize(site: Site) -> WrittenStep:
    """The step `l2_normalize`: divides a pixel, or with `across` a picture, by its length (normalize_layer.cpp)."""
    slots = [site.slot(name) for name in (site.step.operands[0], site.step.results[0])]
    if site.payload["across"]:
        n, *rest = slots[0].bounds
        if len({slot.layout for slot in slots}) > 1 or any(slot.channels or slot.halo for slot in slots):
            raise NotNative("its numbers are not contiguous")
        slots = [replace(slot, dims=(n, prod(rest)), layout="nchw") for slot in slots]
    x, y = pixels_of(slots, 1)
    return write_pixels(site, "normalize", x, y, f"{format_float(float(site.payload['eps']))}, ", 0.0003)


def write_standardize(site: Site) -> WrittenStep:
    """The step `standardize`: minus the mean and, if `scaled`, divided by the deviation (mvn_layer.cpp).

    The statistics are those of a channel of a picture, of a picture, or of a channel of all pictures.
    """
    p, slots = site.payload, [site.slot(name) for name in (site.step.operands[0], site.step.results[0])]
    if len({slot.layout for slot in slots}) > 1:
        raise NotNative("the result has another layout")
    x, y = (standardized_pixels(slot, [axis % max(len(slot.dims), 1) for axis in p["per"]]) for slot in slots)
    setting = f"{int(p['scaled'])}, {int(p['eps_in'] == 'deviation')}, {format_float(float(p['eps']))}, "
    return write_pixels(site, "standardize", x, y, setting, 0.0006)


def standardized_pixels(slot: Slot, per: Sequence[int]) -> Pixels:
    """A value as pixels, each the numbers of a statistic. NotNative if they are not at equal distances."""
    if slot.dtype != "f32" or not slot.is_static or slot.channels or slot.halo or len(slot.dims) < 2:
        raise NotNative("its numbers are not contiguous")
    (n, c, *_), plane, at = slot.bounds, prod(slot.bounds[2:]), first_float(slot)
    innermost = slot.layout == "nhwc" or plane == 1
    if set(per) == {0}:
        return Pixels(1, 1, n, at, 0, 0, c * plane, c * plane, 1)
    if set(per) == {1} and n > 1:
        if not innermost:
            raise NotNative("the numbers of a channel are not at equal distances")
        return Pixels(1, 1, c, at, 0, 0, 1, n * plane, c)
    if set(per) not in ({1}, {0, 1}):
        raise NotNative(f"it has statistics for axes {sorted(per)}")
    if innermost:
        return Pixels(n, 1, c, at, c * plane, 0, 1, plane, c)
    return Pixels(1, 1, n * c, at, 0, 0, plane, plane, 1)


def write_pixels(site: Site, name: str, x: Pixels, y: Pixels, setting: str, time: float) -> WrittenStep:
    """A function over the numbers of each pixel: templates/rows.h. `time` is what a number takes, in microseconds."""
    require_same_shape(site)
    v, rows, rest = site.machine.vector, y.images * y.height, y.width % site.machine.vector
    along = x.step == y.step == 1 and y.count >= v
    blocks = y.width if along else -(-y.width // v)
    per = split(site.machine, rows * blocks, rows * y.width * y.count * time)

    def place(base: str, p: Pixels) -> str:
        terms = [f"n * {p.image}L"] * (y.images > 1) + [f"h * {p.row}L"] * (y.height > 1) + [f"j * {p.col}L"]
        return " + ".join([base, *terms])

    def call(lanes: int) -> str:
        return f"{name}_pixels({lanes}, {setting}{y.count}, x, {x.col}, {x.step}, y, {y.col}, {y.step});"

    calls = [f"{name}_along({setting}{y.count}, x, y);"] if along else [call(v)]
    if not along and rest:
        calls = [f"if (j + {v} <= {y.width}) {call(v)}", f"else {call(rest)}"] if blocks > 1 else [call(rest)]
    body = [
        *[f"long n = i / {y.height * blocks};"] * (y.images > 1),
        *[f"long h = i / {blocks} % {y.height};"] * (y.height > 1),
        f"long j = i % {blocks}{'' if along else f' * {v}'};",
        f"const float *x = {place('in[0]', x)};",
        f"float *y = {place('out', y)};",
        *calls,
    ]
    lines = [
        f"static void {NAME}(const float *const *in, float *out, int task)",
        "{",
        f"    for (long i = task * {per}L; i < (task + 1) * {per}L && i < {rows * blocks}; i++) {{",
        *indent(indent(body)),
        "    }",
        "}",
    ]
    doc = f"{name} over {y.count} numbers: {list(site.slot(site.step.operands[0]).dims)}"
    from_x = site.place(site.step.operands[0], x.at, exact=True)
    return WrittenStep(name, doc, "\n".join(lines) + "\n", -(-rows * blocks // per), (from_x,), y.at)


def require_same_shape(site: Site) -> None:
    """NotNative unless the result has the operand's shape."""
    if site.slot(site.step.operands[0]).dims != site.slot(site.step.results[0]).dims:
        raise NotNative("the result has another shape")
