"""Which of Winograd's forms pays for a convolution, and how its work is divided, by a count of cycles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil

from .image import Image
from .machine import MACHINES, Machine
from .split import tile_cycles
from .winograd_forms import FORMS, Form

REFERENCE = MACHINES["avx512"]  # whose cycles decide, so that a compiled net is the same everywhere
MARGIN = 0.97  # a form has to be better than the direct one by so much
CACHE_BYTES = 700_000  # that the tiles of one task may take
WEIGHT_BYTES = 600_000  # beyond which transformed weights come from memory
TASK_CYCLES = 500
SMALL = 14  # pixels on a side, up to which the direct convolution waits for its weights


@dataclass(frozen=True, slots=True)
class WinogradPlan:
    """How a convolution is divided.

    One task has `tiles` tiles and `per_blocks` blocks of `vectors` vectors of channels; its matrix products take `rows`
    tiles at once.
    """

    cycles: float
    rows: int
    vectors: int
    tiles: int
    per_blocks: int


@cache
def plan_winograd(form: Form, machine: Machine, channels: int, outputs: int, tile_count: int) -> WinogradPlan | None:
    """The fastest way, counted for one of two threads; None if no task fits into the cache."""
    found = candidates(form, machine, channels, outputs, tile_count)
    return min(found, key=lambda plan: plan.cycles, default=None)


def candidates(form: Form, machine: Machine, channels: int, outputs: int, tile_count: int) -> Iterator[WinogradPlan]:
    numbers, vectors, v = form.side**2, machine.vectors(outputs), machine.vector
    weights = numbers * channels * outputs * 4
    bytes_a_cycle = 8 if weights > WEIGHT_BYTES else 16
    for n, m, multiple, parts in product(
        range(1, min(4, vectors) + 1), range(min(3, tile_count), 15), (1, 2, 3, 4), (1, 2, 4)
    ):
        blocks, tiles = -(-vectors // n), min(m * multiple, tile_count)
        fits = numbers * tiles * (machine.vectors(channels) * v + v) * 4 <= CACHE_BYTES
        if m * n + n > machine.registers - 2 or parts > blocks or not fits:
            continue
        per = -(-blocks // parts)
        rounds = -(-(-(-tile_count // tiles) * parts) // 2)
        products = numbers * per * -(-tiles // m) * tile_cycles(min(m, tiles), n, channels)
        loads = numbers * per * n * v * 4 * channels / bytes_a_cycle
        moves = tiles * (machine.vectors(channels) * form.cycles_in + per * n * form.cycles_out)
        yield WinogradPlan(rounds * (max(products, loads) + moves + TASK_CYCLES), m, n, tiles, per)


def tiles_of(form: Form, images: int, height: int, width: int) -> int:
    """How many tiles a result of these sizes has."""
    return images * ceil(height / form.made) * ceil(width / form.made)


def plan_for(form: Form, machine: Machine, x: Image, y: Image) -> WinogradPlan | None:
    """The plan for a convolution of `x` to `y`."""
    return plan_winograd(form, machine, x.channels, y.channels, tiles_of(form, y.images, y.height, y.width))


@cache
def choose_form(weight: tuple[int, ...], result: tuple[int, ...]) -> str:
    """The form that pays for a convolution of stride 1; "" if the direct algorithm does.

    `weight` is [outputs, channels, window, window] and `result` [images, outputs, height, width].
    """
    (outputs, channels, *window), (images, _, height, width) = weight, result
    forms = [form for form in FORMS.values() if window == [form.window] * 2]
    if channels < 2 or 0 in result:
        return ""
    best = window[0] * window[1] * channels * REFERENCE.vectors(outputs) * images * height * width / 2 * 1.06
    if min(height, width) <= SMALL:
        best = max(best, window[0] * window[1] * channels * outputs * 4 / 2 / 8)
    chosen = ""
    for form in forms:
        found = plan_winograd(form, REFERENCE, channels, outputs, tiles_of(form, images, height, width))
        if found is not None and found.cycles < best * MARGIN:
            best, chosen = found.cycles, form.name
    return chosen
