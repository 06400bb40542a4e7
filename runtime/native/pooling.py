"""Poolings as C: a vector of channels at a time, windows cut to the image as Caffe cuts them (pooling_layer.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

from .image import Image, pads_of
from .site import NAME, NotNative, Site, WrittenStep
from .split import microseconds, split
from .written import indent

SLOWER = 4  # times slower, per number read, than the products of a convolution


@dataclass(frozen=True, slots=True)
class PoolAxis:
    """The windows along one image axis, `count` of them over `size` numbers, with `after` of padding behind these."""

    size: int
    count: int
    kernel: int
    stride: int
    pad: int
    after: int

    def lines(self, first: str, stop: str, i: str) -> list[str]:
        """Where window `i` begins and ends, before it is cut."""
        return [f"int {first} = {i} * {self.stride} - {self.pad}, {stop} = {first} + {self.kernel};"]

    def cut(self, first: str, stop: str) -> list[str]:
        """The window without what leaves the image."""
        return [f"if ({first} < 0) {first} = 0;", f"if ({stop} > {self.size}) {stop} = {self.size};"]

    def padded_length(self, first: str, stop: str) -> str:
        """How long a window is inside the padded image: what Caffe divides an average by."""
        end = self.size + self.after
        return f"(({stop} < {end} ? {stop} : {end}) - {first})"


def write_pool(site: Site) -> WrittenStep:
    """The steps `max_pool` and `avg_pool`. NotNative if this is not written here."""
    name, *masks = site.step.results
    x, y = site.image(site.step.operands[0]), site.image(name)
    if masks or len(site.slot(name).dims) != 4:
        raise NotNative("it has a mask" if masks else "it is no pooling of images of two axes")
    down, across = pool_axes(site, x, y)
    largest = site.step.kind.endswith("max_pool")
    rows = y.images * y.height
    per = split(site.machine, rows, SLOWER * microseconds(2.0 * y.pixels * y.channels * down.kernel * across.kernel))
    image, row = (f"i / {y.height}", f"i % {y.height}") if y.images > 1 else ("0", "i")
    outer, inner = down.lines("top", "bottom", row), across.lines("left", "right", "j")
    lengths = [axis.padded_length(*ends) for axis, ends in ((down, ("top", "bottom")), (across, ("left", "right")))]
    padded = not largest and site.payload["include_pad"]
    outer += [f"int high = {lengths[0]};"] * padded
    inner += [f"vec size = splat((float)(high * {lengths[1]}));"] * padded
    outer += [*down.cut("top", "bottom"), f"const float *xi = in[0] + {image} * {x.image}L + top * {x.row}L;"]
    outer.append(f"float *yi = out + {image} * {y.image}L + {row} * {y.row}L;")
    inner += across.cut("left", "right")
    if not largest and not padded:
        inner.append("vec size = splat((float)((bottom - top) * (right - left)));")
    inner += [f"const float *xj = xi + left * {x.col}L;", f"float *yj = yi + j * {y.col}L;"]

    def value(high: str, wide: str) -> str:
        window = f"(xj + c, {x.row}, {x.col}, {high}, {wide})"
        return f"window_max{window}" if largest else f"window_sum{window} / size"

    inner += [f"if (bottom - top == {down.kernel} && right - left == {across.kernel})"]
    inner += [
        f"    {channel_loop(value(str(down.kernel), str(across.kernel)), y.channels, site.machine.vector)}",
        "else",
    ]
    inner += [f"    {channel_loop(value('bottom - top', 'right - left'), y.channels, site.machine.vector)}"]
    loop = f"for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++) {{"
    lines = [loop, *indent(outer), f"    for (int j = 0; j < {y.width}; j++) {{", *indent(indent(inner)), "    }", "}"]
    text = [f"static void {NAME}(const float *const *in, float *out, int task)", "{", *indent(lines), "}"]
    doc = f"{'max' if largest else 'avg'} pool {down.kernel}x{across.kernel} stride {down.stride}x{across.stride} "
    doc += f"pad {down.pad}x{across.pad}: {x.step_shape()} -> {y.step_shape()}"
    place = site.place(site.step.operands[0], x.at)
    return WrittenStep("pool", doc, "\n".join(text) + "\n", -(-rows // per), (place,), y.at)


def pool_axes(site: Site, x: Image, y: Image) -> tuple[PoolAxis, PoolAxis]:
    """The windows by image axis. NotNative unless each begins inside the image: then every read stays inside it."""
    kernel = site.payload["kernel"] or (x.height, x.width)
    stride, pads = site.payload["stride"] or (1, 1), pads_of(site.payload["pad"] or (0,))
    made = []
    for size, count, k, s, p, q in zip((x.height, x.width), (y.height, y.width), kernel, stride, *pads, strict=True):
        if not (s >= 1 and 0 <= p < k and 0 <= q < k and (count - 1) * s - p < size):
            raise NotNative(f"a window of {k} at stride {s} and pad {p} does not fit {count} times into {size}")
        made.append(PoolAxis(size, count, k, s, p, q))
    if (x.images, x.channels) != (y.images, y.channels):
        raise NotNative("images or channels differ")
    return made[0], made[1]


def channel_loop(value: str, channels: int, vector: int) -> str:
    """Store `value` at yj + c for each vector of channels c."""
    full = channels // vector * vector
    loop = f"for (int c = 0; c < {full}; c += {vector}) STORE(yj + c, {value});" if full else ""
    if full == channels:
        return loop
    return f"{{ {loop} int c = {full}; store_lanes(yj + c, {value}, {channels - full}); }}".replace("{  int", "{ int")
