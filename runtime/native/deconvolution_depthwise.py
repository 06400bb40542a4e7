"""Transposed convolutions of each channel alone as C, such as upsampling by a bilinear filter (FCN)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .image import Image
from .site import NAME, Extra, Floats, Site, WrittenStep
from .split import microseconds, split
from .written import Epilogue, indent


def write_depthwise_deconv(
    site: Site,
    x: Image,
    y: Image,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    weight: str,
    bias: str | None,
    extras: tuple[Extra, ...],
) -> WrittenStep:
    """Pixel by pixel: the taps of the window that meet a pixel of x, for each vector of channels."""
    v, (kh, kw), (sh, sw), rows = site.machine.vector, kernel, stride, y.images * y.height
    padded = site.machine.vectors(y.channels) * v

    def pack(part: Floats, weights: Mapping[str, Floats]) -> None:
        made = np.zeros((kh * kw + 1, padded), np.float32)
        made[0, : y.channels] = weights[bias] if bias else 0
        made[1:, : y.channels] = weights[weight].reshape(y.channels, -1).T
        part[:] = made.ravel()

    place = site.blocks.add((kh * kw + 1) * padded, pack)
    epilogue = Epilogue(site.payload["code"], extras)
    per = split(site.machine, rows, 4 * microseconds(2.0 * y.pixels * padded * -(-kh // sh) * -(-kw // sw)))
    image, row = (f"i / {y.height}", f"i % {y.height}") if y.images > 1 else ("0", "i")
    last = (y.channels - 1) % v + 1
    window = f"down, across, x + c, {x.row}, {x.col}, w + c, {kw * padded}, {padded}"
    call = f"{epilogue.name}(transposed_window({window}), extra)"
    store = f"STORE(y + c, {call})"
    if last != v:
        store = f"if (c + {v} <= {y.channels}) {store};\nelse store_lanes(y + c, {call}, {last})"
    inner = [
        f"struct taps across = taps_of(j, {kw}, {sw}, {pad[1]}, {x.width});",
        f"float *y = out + n * {y.image}L + h * {y.row}L + j * {y.col}L;",
        f"for (int c = 0; c < {y.channels}; c += {v}) {{",
        *indent(epilogue.pointers("c", "h", "n", first=2, pixel="j")),
        *indent(f"{store};".split("\n")),
        "}",
    ]
    lines = [
        "const float *w = in[1];",
        f"for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++) {{",
        f"    int n = {image}, h = {row};",
        f"    struct taps down = taps_of(h, {kh}, {sh}, {pad[0]}, {x.height});",
        f"    const float *x = in[0] + n * {x.image}L;",
        f"    for (int j = 0; j < {y.width}; j++) {{",
        *indent(indent(inner)),
        "    }",
        "}",
    ]
    text = [f"static void {NAME}(const float *const *in, float *out, int task)", "{", *indent(lines), "}"]
    doc = f"depthwise deconv {kh}x{kw} stride {sh}x{sw} pad {pad[0]}x{pad[1]}: {x.step_shape()} -> {y.step_shape()}"
    operands = (site.place(site.step.operands[0], x.at), place, *(e.place for e in extras))
    body = "\n".join(text) + "\n"
    return WrittenStep("deconv", doc + epilogue.doc, body, -(-rows // per), operands, y.at, (epilogue.text,))
