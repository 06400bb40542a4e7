"""Poolings as C: a vector of channels at a time, windows cut to the image as Caffe cuts them (pooling_layer.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

from .image import Image, pads_of, pair
from .site import NAME, NotNative, Site, WrittenStep
from .split import microseconds, split

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

    @property
    def numbers(self) -> str:
        """The arguments of span_of in templates/pool.h."""
        return f"{self.kernel}, {self.stride}, {self.pad}, {self.size}, {self.after}"


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
    source = "in[0]" + f" + {image} * {x.image}L" * (y.images > 1)
    result = "out" + f" + {image} * {y.image}L" * (y.images > 1) + f" + {row} * {y.row}L"
    settings = f"{int(largest)}, {int(not largest and site.payload['include_pad'])}, {y.channels}, {down.kernel}"
    text = f"""static void {NAME}(const float *const *in, float *out, int task)
{{
    for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++)
        pool_row({settings}, {across.numbers}, {y.width}, span_of({row}, {down.numbers}),
                 {source}, {x.row}, {x.col}, {result}, {y.col});
}}
"""
    doc = f"{'max' if largest else 'avg'} pool {down.kernel}x{across.kernel} stride {down.stride}x{across.stride} "
    doc += f"pad {down.pad}x{across.pad}: {x.step_shape()} -> {y.step_shape()}"
    place = site.place(site.step.operands[0], x.at)
    return WrittenStep("pool", doc, text, -(-rows // per), (place,), y.at)


def pool_axes(site: Site, x: Image, y: Image) -> tuple[PoolAxis, PoolAxis]:
    """The windows by image axis. NotNative unless each begins inside the image: then every read stays inside it."""
    kernel = pair(site.payload["kernel"]) if site.payload["kernel"] else (x.height, x.width)
    stride, pads = pair(site.payload["stride"] or (1, 1)), pads_of(site.payload["pad"] or (0,))
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
