"""Depthwise convolutions as C: strips of rows by pixels, one vector of channels at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .image import Image
from .site import NAME, Extra, Floats, Site, WrittenStep
from .split import microseconds, split
from .written import Epilogue, indent

LARGEST_WINDOW = 7
SMALL_IMAGE = 14  # rows up to which a task takes some channels of all rows


def can_be_depthwise(
    shape: tuple[int, ...], groups: int, x: Image, stride: tuple[int, int], dilation: tuple[int, int]
) -> bool:
    """True if each channel is convolved alone, by a window that the template can hold."""
    alone = groups == x.channels == shape[0] and shape[1] == 1
    small = max(*shape[2:], *stride) <= LARGEST_WINDOW
    return alone and small and stride[0] == stride[1] and dilation == (1, 1)


def choose_strip(site: Site, y: Image, stride: int) -> tuple[int, int]:
    """Rows and pixels of a strip: its accumulators and the window's weights stay in registers."""
    many = site.machine.registers >= 32
    rows = 2 if stride == 1 and y.height % 2 == 0 and many else 1
    limit = (8 if rows == 2 else 14) if many else 4

    def cost(m: int) -> float:
        strips, rest = divmod(y.width, m)
        return (strips + (rest > 0)) * 2 + y.width * 0.9 + (3 if rest else 0)

    return rows, min(range(min(3, y.width), min(limit, y.width) + 1), key=cost)


def write_depthwise(
    site: Site,
    x: Image,
    y: Image,
    kernel: tuple[int, int],
    stride: int,
    pad: tuple[int, int],
    weight: str,
    bias: str | None,
    extras: tuple[Extra, ...],
) -> WrittenStep:
    (kh, kw), v = kernel, site.machine.vector
    vectors, last = site.machine.vectors(y.channels), (y.channels - 1) % v + 1
    block = v * (kh * kw + 1)

    def pack(part: Floats, weights: Mapping[str, Floats]) -> None:
        made = np.zeros((vectors * v, kh * kw + 1), np.float32)
        made[: y.channels, 0] = weights[bias] if bias else 0
        made[: y.channels, 1:] = weights[weight].reshape(y.channels, -1)
        part.reshape(vectors, -1, v)[:] = made.reshape(vectors, v, -1).transpose(0, 2, 1)

    place = site.blocks.add(vectors * block, pack)
    rows, pixels = choose_strip(site, y, stride)
    epilogue = Epilogue(site.payload["code"], extras)
    rest = y.width % pixels
    erow, ecol = ([getattr(e, f) for e in extras] for f in ("row", "col"))
    steps = ", ".join(f"(const long[]){{{', '.join(map(str, numbers)) or '0'}}}" for numbers in (erow, ecol))

    def strip(m: int) -> str:
        places = ", ".join(f"extra[{k}]" + f" + j * {e.col}L" * (e.col != 0) for k, e in enumerate(extras)) or "0"
        return (
            f"depthwise({rows}, {m}, {kh}, {kw}, {stride}, {x.row}, {x.col}, x + j * {stride * x.col}L, w, {y.row}, "
            f"{y.col}, y + j * {y.col}L, last, {len(extras)}, (const float *[]){{{places}}}, {steps}, {epilogue.name});"
        )

    row = ["int j = 0;", "(void)extra;", f"for (; j + {pixels} <= {y.width}; j += {pixels}) {strip(pixels)}"]
    row += [strip(rest)] if rest else []
    head = f"INLINE void {NAME}_row(int last, const float *x, const float *w, float *y, const float *const *extra)"
    text = [head, "{", *indent(row), "}", "", f"static void {NAME}(const float *const *in, float *out, int task)", "{"]
    # the task: some vectors of channels of all rows of one image where it is small, else some rows
    strips = y.height // rows
    time = microseconds(2.0 * y.pixels * y.channels * kh * kw) * (4 if y.height <= SMALL_IMAGE else 2)
    if y.height <= SMALL_IMAGE:
        per, per_rows = split(site.machine, vectors, time), strips
    else:
        per, per_rows = vectors, split(site.machine, strips, time / y.images)
    parts, row_parts = -(-vectors // per), -(-strips // per_rows)
    lines = [
        f"int n = task / {parts * row_parts}, part = task / {row_parts} % {parts};",
        f"int top = task % {row_parts} * {per_rows};",
    ]
    lines.append(f"for (int i = top; i < top + {per_rows} && i < {strips}; i++)")
    body = [
        f"const float *x = in[0] + n * {x.image}L + i * {rows * stride * x.row}L + c, *w = in[1] + c * {kh * kw + 1}L;"
    ]
    body.append(f"float *y = out + n * {y.image}L + i * {rows * y.row}L + c;")
    body += epilogue.pointers("c", f"i * {rows}", "n", first=2)
    whole = f"{NAME}_row({v}, x, w, y, extra);"
    if last == v:
        body.append(whole)
    else:
        body += [f"if (c + {v} <= {y.channels}) {whole}", f"else {NAME}_row({last}, x, w, y, extra);"]
    lines.append(f"    for (int c = part * {per * v}; c < (part + 1) * {per * v} && c < {y.channels}; c += {v}) {{")
    lines += [*indent(indent(body)), "    }"]
    text += [*indent(lines), "}"]
    doc = (
        f"depthwise {kh}x{kw} stride {stride} pad {pad[0]}x{pad[1]}: {x.step_shape()} -> {y.step_shape()}{epilogue.doc}"
    )
    at = x.at - pad[0] * x.row - pad[1] * x.col
    operands = (site.place(site.step.operands[0], at), place, *(e.place for e in extras))
    tasks = y.images * parts * row_parts
    doc += f"; {rows} rows x {pixels} pixels at once"
    return WrittenStep("depthwise", doc, "\n".join(text) + "\n", tasks, operands, y.at, (epilogue.text,))
