"""The loops around the register tile, for convolutions and matrix products alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .image import Image
from .machine import Machine
from .site import NAME, Extra, Floats, Site, WrittenStep
from .split import choose_tile, microseconds, split
from .written import Epilogue, indent, loop_of

PackMatrix = Callable[[Mapping[str, Floats]], tuple[Tensor, Floats | None]]
PAGE_STRIDE = 1024  # floats: pixels that are a multiple of 4 KiB apart share cache sets
MOST_ALIASED_PIXELS = 8
WEIGHT_BYTES_A_MICROSECOND = 40_000  # that one core reads from memory: what a product for one pixel waits for


@dataclass(frozen=True, slots=True)
class Product:
    """A sum of products for each pixel and output.

    The result is a convolution of the source with window (rows, columns, numbers); `stride` is floats from one place of
    the window to the next, by rows and columns, `steps` floats between rows and columns inside it. `at` is where the
    first window begins. `flat`: source and result are one row of pixels.
    """

    source: Image
    result: Image
    stride: tuple[int, int]
    window: tuple[int, int, int]
    steps: tuple[int, int]
    groups: int
    outputs: int
    at: int
    flat: bool

    @property
    def length(self) -> int:
        rows, columns, numbers = self.window
        return rows * columns * numbers

    @property
    def flops(self) -> int:
        return 2 * self.result.pixels * self.outputs * self.groups * self.length


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut into tiles and tasks.

    A tile is `pixels` by `vectors`. There are `full` blocks of channels, then one of `rest` vectors, of which the last
    has `last` numbers. A task is `per_rows` of the `rows` (or tiles of a flat row) by `per_blocks` blocks of channels.
    """

    pixels: int
    vectors: int
    full: int
    rest: int
    last: int
    per_rows: int
    per_blocks: int
    rows: int

    @property
    def blocks(self) -> int:
        return self.full + (self.rest > 0)

    @property
    def row_tasks(self) -> int:
        return -(-self.rows // self.per_rows)

    @property
    def block_tasks(self) -> int:
        return -(-self.blocks // self.per_blocks)


def make_tiling(machine: Machine, p: Product) -> Tiling:
    width = p.result.width
    aliased = p.stride[1] % PAGE_STRIDE == 0
    most = MOST_ALIASED_PIXELS if aliased else 28
    m, n = choose_tile(machine, width, machine.vectors(p.outputs), p.length, most)
    numbers = n * machine.vector
    full, left = divmod(p.outputs, numbers)
    rest = machine.vectors(left)
    last = left - (rest - 1) * machine.vector if rest else machine.vector
    rows = -(-width // m) if p.flat else p.result.images * p.result.height
    blocks = full + (rest > 0)
    time = max(microseconds(p.flops / p.groups), 4 * p.outputs * p.length / WEIGHT_BYTES_A_MICROSECOND)
    if (
        p.outputs * p.length > p.source.pixels * p.source.channels and blocks > 1
    ):  # more weights than image: share those
        per_blocks = split(machine, blocks, time)
        per_rows = split(machine, rows, time * per_blocks / blocks)
    else:
        per_rows = split(machine, rows, time)
        per_blocks = split(machine, blocks, time * per_rows / rows)
    return Tiling(m, n, full, rest, last, per_rows, per_blocks, rows)


def write_product(site: Site, p: Product, pack: PackMatrix, extras: tuple[Extra, ...], doc: str) -> WrittenStep:
    """The step's C. `pack` gives the weights as [outputs of all groups, length] and the bias."""
    t, machine = make_tiling(site.machine, p), site.machine
    group_size = (t.full * t.vectors + t.rest) * machine.vector * (p.length + 1)

    def pack_part(part: Floats, weights: Mapping[str, Floats]) -> None:
        pack_blocks(part, *pack(weights), p, t, machine)

    place = site.blocks.add(group_size * p.groups, pack_part)
    epilogue = Epilogue(site.payload["code"], extras)
    text = [f"static void {NAME}(const float *const *in, float *out, int task)", "{"]
    text += [*indent(outer_loops(p, t, machine, epilogue)), "}"]
    doc += f"{epilogue.doc}; tile of {t.pixels} pixels x {t.vectors * machine.vector} channels"
    operands = (site.place(site.step.operands[0], p.at, exact=True), place, *(e.place for e in extras))
    tasks = t.row_tasks * t.block_tasks * p.groups
    return WrittenStep("product", doc, "\n".join(text) + "\n", tasks, operands, p.result.at, (epilogue.text,))


def outer_loops(p: Product, t: Tiling, machine: Machine, epilogue: Epilogue) -> list[str]:
    """The loops of one task over blocks of channels and rows of the result."""
    numbers, block = t.vectors * machine.vector, t.vectors * machine.vector * (p.length + 1)
    group_size = (t.full * t.vectors + t.rest) * machine.vector * (p.length + 1)
    lines = list[str]()
    if p.groups > 1:
        lines.append(f"int group = task % {p.groups};")
        lines.append(f"task /= {p.groups};")
    lines.append(f"int part = task % {t.row_tasks}, first = task / {t.row_tasks} * {t.per_blocks};")
    w = "in[1] + o * " + f"{block}L" + (f" + group * {group_size}L" if p.groups > 1 else "")
    channel = f"o * {numbers}" + (f" + group * {p.outputs}" if p.groups > 1 else "")
    source = f"in[0]{f' + group * {p.source.channels // p.groups}' if p.groups > 1 else ''}"

    rows, columns, numbers_of_window = p.window
    constants = f"{rows}, {columns}, {numbers_of_window}, {p.steps[0]}, {p.steps[1]}, {p.stride[1]}"
    rest_pixels = p.result.width % t.pixels
    moves = f"extra, (const long[]){{{', '.join(str(e.col) for e in epilogue.extras)}}}" if epilogue.extras else "0, 0"

    def call(vectors: int, last: int, x: str, y: str, span: str) -> list[str]:
        return [
            f"tile_row({t.pixels}, {rest_pixels}, {vectors}, {constants}, {x}, {w}, {p.result.col},",
            f"         {y}, {last}, {span}, {len(epilogue.extras)}, {moves}, {epilogue.name});",
        ]

    def declare(row: str, image: str) -> list[str]:
        return epilogue.pointers(channel, row, image, first=2) if epilogue.extras else []

    inner = list[str]()
    if p.flat:
        step, width = t.per_rows * t.pixels, p.result.width
        span = f"part * {step}, (part + 1) * {step} < {width} ? (part + 1) * {step} : {width}"
        inner += declare("0", "0")
        inner += choose_block(t, machine, partial(call, x=source, y=f"out + {channel}", span=span))
    else:
        h = p.result.height
        images = p.result.images > 1
        n, i = (f"i / {h}", f"i % {h}") if images else ("0", "i")
        x = f"{source} + {i} * {p.stride[0]}L" + (f" + {n} * {p.source.image}L" if images else "")
        y = f"out + {channel} + {i} * {p.result.row}L" + (f" + {n} * {p.result.image}L" if images else "")
        body = declare(i, n)
        body += choose_block(t, machine, partial(call, x=x, y=y, span=f"0, {p.result.width}"))
        inner = loop_of(f"int i = part * {t.per_rows}; i < (part + 1) * {t.per_rows} && i < {t.rows}; i++", body)
    return lines + loop_of(f"int o = first; o < first + {t.per_blocks} && o < {t.blocks}; o++", inner)


def choose_block(t: Tiling, machine: Machine, call: Callable[[int, int], list[str]]) -> list[str]:
    """The call for a full block of channels, and for the rest."""
    if not t.rest:
        return call(t.vectors, machine.vector)
    if not t.full:
        return call(t.rest, t.last)
    whole, rest = call(t.vectors, machine.vector), call(t.rest, t.last)
    return [f"if (o < {t.full})", *indent(whole), "else", *indent(rest)]


def pack_blocks(part: Floats, matrix: Tensor, bias: Floats | None, p: Product, t: Tiling, machine: Machine) -> None:
    """For each group and block of channels: the bias, then the weights with the block's channels innermost.

    `matrix` is f32 [outputs of all groups, length], perhaps a view; torch copies transposed in cache-sized tiles.
    """
    v, made = machine.vector, torch.from_numpy(part)
    for g in range(p.groups):
        first, stop = g * p.outputs, (g + 1) * p.outputs
        at = g * (len(part) // p.groups)
        for size in [t.vectors * v] * t.full + [t.rest * v] * bool(t.rest):
            count = min(size, stop - first)
            block = made[at : at + size * (p.length + 1)].view(p.length + 1, size)
            if bias is not None:
                block[0, :count] = torch.from_numpy(bias[first : first + count])
            block[1:, :count] = matrix[first : first + count].T
            first, at = first + count, at + block.numel()
