"""Winograd's convolutions as C: tiles are transformed, multiplied by the weights, and transformed back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import ceil

import torch

from .image import Image
from .site import NAME, Extra, Floats, Site, WrittenStep
from .winograd_choice import plan_for, tiles_of
from .winograd_forms import Form, transform_weights
from .written import Epilogue, indent, loop_of


def write_winograd(
    site: Site,
    x: Image,
    y: Image,
    form: Form,
    pad: tuple[int, int],
    weight: str,
    bias: str | None,
    extras: tuple[Extra, ...],
) -> WrittenStep:
    """A convolution by a form of Winograd's, for which there is a plan."""
    count, v, numbers = tiles_of(form, y.images, y.height, y.width), site.machine.vector, form.side**2
    p = plan_for(form, site.machine, x, y)
    assert p is not None
    vectors = site.machine.vectors(y.channels)
    blocks, columns = -(-vectors // p.vectors), p.vectors * v
    source = site.machine.vectors(x.channels) * v + v  # floats of one number of a tile, kept apart from powers of two
    block = columns * (1 + numbers * x.channels)
    place = site.blocks.add(blocks * block, partial(pack_winograd, form, weight, bias, columns))
    epilogue = Epilogue(site.payload["code"], extras)
    parts = -(-count // p.tiles)

    def product(rows: int) -> list[str]:
        return [
            f"    winograd_product({rows}, {p.vectors}, {x.channels}, {source}, u + (k * {p.tiles} + t) * {source},",
            f"                     w + {columns} + k * {x.channels * columns}L, g + (k * {p.tiles} + t) * {columns});",
        ]

    rests = sorted({p.tiles % p.rows, (count - (parts - 1) * p.tiles) % p.rows} - {0})
    products = ["int t = 0;", f"for (; t + {p.rows} <= count; t += {p.rows})", *product(p.rows)]
    for rest in rests:
        products += [f"if (count - t == {rest})", *product(rest)]
    lines = [
        f"float *u = thread_scratch(), *g = u + {numbers * p.tiles * source}; /* tiles, and their products */",
        f"int part = task % {parts} * {p.tiles}, first = task / {parts} * {p.per_blocks};",
        f"int count = {count} - part < {p.tiles} ? {count} - part : {p.tiles};",
        "for (int t = 0; t < count; t++) {",
        *indent(position_of_tile(form, y)),
        f"    const float *x = {place_of_tile('in[0]', x, form, y)};",
        f"    for (int c = 0; c < {x.channels}; c += {v})",
        f"        winograd_in({form.code}, x + c, {x.row}, {x.col}, u + t * {source} + c, {p.tiles * source});",
        "}",
        f"for (int o = first; o < first + {p.per_blocks} && o < {blocks}; o++) {{",
        f"    const float *w = in[1] + o * {block}L;",
        f"    for (int k = 0; k < {numbers}; k++) {{",
        *indent(indent(products)),
        "    }",
        "    for (int t = 0; t < count; t++) {",
        *indent(indent(store_lines(form, y, epilogue, p.vectors, p.tiles, v))),
        "    }",
        "}",
    ]
    text = [f"static void {NAME}(const float *const *in, float *out, int task)", "{", *indent(lines), "}"]
    doc = (
        f"winograd F({form.made}x{form.made}, {form.window}x{form.window}) pad {pad[0]}x{pad[1]}: {x.step_shape()} -> "
    )
    doc += f"{y.step_shape()}{epilogue.doc}; {p.tiles} tiles a task, products of {p.rows} tiles x {columns} channels"
    at = x.at - pad[0] * x.row - pad[1] * x.col
    operands = (site.place(site.step.operands[0], at), place, *(e.place for e in extras))
    scratch = numbers * p.tiles * (source + columns) + v
    tasks = parts * -(-blocks // p.per_blocks)
    return WrittenStep("winograd", doc, "\n".join(text) + "\n", tasks, operands, y.at, (epilogue.text,), scratch)


def position_of_tile(form: Form, y: Image) -> list[str]:
    """The row and column of tile part + t, and the image, if there are several."""
    across = ceil(y.width / form.made)
    image = across * ceil(y.height / form.made)
    if y.images == 1:
        return [f"int i = (part + t) / {across}, j = (part + t) % {across};"]
    return [f"int n = (part + t) / {image}, i = (part + t) % {image} / {across}, j = (part + t) % {across};"]


def place_of_tile(base: str, image: Image | Extra, form: Form, y: Image) -> str:
    base += f" + n * {image.image}L" * (y.images > 1)
    return f"{base} + i * {form.made * image.row}L + j * {form.made * image.col}L"


def store_lines(form: Form, y: Image, epilogue: Epilogue, n: int, tiles: int, v: int) -> list[str]:
    """Transform one tile back, for each vector of the block."""
    vectors, last, columns = -(-y.channels // v), (y.channels - 1) % v + 1, n * v
    places = [
        f"{place_of_tile(f'in[{k}]', e, form, y)} + o * {columns} + c * {v}" for k, e in enumerate(epilogue.extras, 2)
    ]
    erow, ecol = (", ".join(str(getattr(e, f)) for e in epilogue.extras) for f in ("row", "col"))
    others = f"extra, (const long[]){{{erow}}}, (const long[]){{{ecol}}}" if places else "0, 0, 0"

    def out(lanes: int) -> list[str]:
        return [
            f"winograd_out({form.code}, g + t * {columns} + c * {v}, {tiles * columns}, w + c * {v}, y + c * {v},",
            f"             {y.row}, {y.col}, rows, cols, {lanes}, {len(places)}, {others}, {epilogue.name});",
        ]

    body = [f"const float *extra[] = {{{', '.join(places)}}};"] * bool(places)
    if last == v:
        body += out(v)
    else:
        body += [f"if (o * {n} + c < {vectors - 1})", *indent(out(v)), "else", *indent(out(last))]
    return [
        *position_of_tile(form, y),
        f"int rows = {y.height} - {form.made} * i, cols = {y.width} - {form.made} * j;",
        f"float *y = {place_of_tile('out', y, form, y)} + o * {columns};",
        *loop_of(f"int c = 0; c < {n} && o * {n} + c < {vectors}; c++", body),
    ]


def pack_winograd(
    form: Form, weight: str, bias: str | None, columns: int, part: Floats, weights: Mapping[str, Floats]
) -> None:
    """For each block of channels: the bias, then for each number of a tile the weights with the block innermost."""
    w = torch.from_numpy(weights[weight])
    outputs, channels = w.shape[:2]
    made = transform_weights(form, w).view(-1, outputs)  # a row for each number of a tile and channel
    blocks = torch.from_numpy(part).view(-1, 1 + form.side**2 * channels, columns)
    for i, block in enumerate(blocks):
        first, count = i * columns, min(columns, outputs - i * columns)
        if bias:
            block[0, :count] = torch.from_numpy(weights[bias][first : first + count])
        block[1:, :count] = made[:, first : first + count]
