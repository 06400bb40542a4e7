"""Resized images as C: for each row and column of the result the two of the operand that it lies between.

They are worked out here, as tables, by the rules of the layers (PSPNet's interp.cpp, and TensorFlow's and ONNX's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from ..primitives.resize import find_neighbours
from ..primitives.resizing import find_caffe_neighbours
from .epilogue import format_float
from .image import Image, pair
from .site import NAME, NotNative, Site, WrittenStep
from .split import split
from .written import indent

NUMBERS_A_MICROSECOND = 2000  # of one core
LONGEST_AXIS = 1 << 16  # that is worth a table


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Along an axis, for each new index: the indices that it lies between, and how far it is from the first."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    part: tuple[float, ...]

    @property
    def is_copy(self) -> bool:
        return self.low == self.high

    def lines(self, name: str) -> list[str]:
        """The table in C."""
        rows = [f"{{{a}, {b}, {format_float(p)}}}" for a, b, p in zip(self.low, self.high, self.part, strict=True)]
        return [f"static const struct neighbours {name}[] = {{", *indent(wrap(", ".join(rows), 100)), "};"]


def write_interp(site: Site) -> WrittenStep:
    """The step `interp`: linear, with aligned corners, of what `trim` leaves."""
    x, y = read_images(site)
    before, after = pair(site.payload["trim"])
    axes = [interp_axis(size, count, before, after) for size, count in ((x.height, y.height), (x.width, y.width))]
    if all(count == size - before - after for size, count in ((x.height, y.height), (x.width, y.width))):
        axes = [copy_axis(range(before, before + count)) for count in (y.height, y.width)]
    return write_resampled(site, "interp", x, y, axes, "weigh")


def write_resize(site: Site) -> WrittenStep:
    """The step `resize` of images: by the rules of TensorFlow and ONNX."""
    p = site.payload
    x, y = read_images(site)
    linear = p["how"] == "linear"
    if (p["axis"], p["axes"]) != (2, 2) or not (linear or p["how"] == "nearest"):
        raise NotNative("it resizes other axes than those of an image")
    axes = list[Neighbours]()
    for size, count in ((x.height, y.height), (x.width, y.width)):
        low, high, part = find_neighbours(size, count, p["align"], linear, 0)
        axes.append(Neighbours(tuple(low.tolist()), tuple(high.tolist()), tuple(part.tolist())))
    return write_resampled(site, f"{p['how']} resize", x, y, axes, "approach" if linear else "")


def read_images(site: Site) -> tuple[Image, Image]:
    """The operand and the result. NotNative unless they differ in height and width alone."""
    x, y = site.image(site.step.operands[0]), site.image(site.step.results[0])
    if (x.images, x.channels) != (y.images, y.channels) or min(x.height, x.width, y.height, y.width) < 1:
        raise NotNative("images or channels differ")
    if len(site.slot(site.step.results[0]).dims) != 4:
        raise NotNative("it resizes no images of two axes")
    if max(x.height, x.width, y.height, y.width) > LONGEST_AXIS:
        raise NotNative(f"an axis is longer than {LONGEST_AXIS}")
    site.require_apart()
    return x, y


def interp_axis(size: int, count: int, before: int, after: int) -> Neighbours:
    """The neighbours in what trimming leaves of an axis. NotNative if that is nothing."""
    length = size - before - after
    if before < 0 or after < 0 or length < 1:
        raise NotNative(f"nothing is left of {size} trimmed by {before} and {after}")
    low, high, part = find_caffe_neighbours(length, count)
    return Neighbours(tuple((low + before).tolist()), tuple((high + before).tolist()), tuple(part.tolist()))


def copy_axis(indices: Sequence[int]) -> Neighbours:
    return Neighbours(tuple(indices), tuple(indices), (0.0,) * len(indices))


def write_resampled(site: Site, what: str, x: Image, y: Image, axes: Sequence[Neighbours], mix: str) -> WrittenStep:
    """Row by row, pixel by pixel; `mix` is the function of templates/resample.h between two numbers."""
    for axis, size in zip(axes, (x.height, x.width), strict=True):
        if min(axis.low) < 0 or max(max(axis.low), max(axis.high)) >= size:
            raise NotNative("a neighbour is outside of the image")
    rows = y.images * y.height
    per = split(site.machine, rows, y.pixels * y.channels * 4 / NUMBERS_A_MICROSECOND)
    image, row = (f"i / {y.height}", f"i % {y.height}") if y.images > 1 else ("0", "i")
    if all(axis.is_copy for axis in axes) or not mix:
        call = f"copy_pixel({y.channels}, top + a.low * {x.col}L, y + j * {y.col}L);"
    else:
        corners = [f"{side} + a.{end} * {x.col}L" for side in ("top", "bottom") for end in ("low", "high")]
        call = f"resample_pixel({y.channels}, {', '.join(corners)}, h.part, a.part, y + j * {y.col}L, {mix});"
    body = [
        f"struct neighbours h = down[{row}];",
        f"const float *top = in[0] + {image} * {x.image}L + h.low * {x.row}L;",
        f"const float *bottom = in[0] + {image} * {x.image}L + h.high * {x.row}L;",
        f"float *y = out + {image} * {y.image}L + {row} * {y.row}L;",
        f"for (int j = 0; j < {y.width}; j++) {{",
        "    struct neighbours a = across[j];",
        f"    {call}",
        "}",
    ]
    if "resample" not in call:
        body.pop(2)
    lines = [*axes[0].lines("down"), *axes[1].lines("across")]
    lines += [f"for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++) {{", *indent(body), "}"]
    text = [f"static void {NAME}(const float *const *in, float *out, int task)", "{", *indent(lines), "}"]
    doc = f"{what}: {x.step_shape()} -> {y.step_shape()}"
    place = site.place(site.step.operands[0], x.at)
    return WrittenStep("resample", doc, "\n".join(text) + "\n", -(-rows // per), (place,), y.at)
