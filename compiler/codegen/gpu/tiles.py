"""How large a tile each program takes: what was measured on a GPU if it is known, else by rule.

tuning/ARCHITECTURE.json holds rows {"template", "problem", "dtype", "tile": {"rows", "columns", "depth", "warps",
"stages"}}; whatever else stands in a row (seconds, the GPU, versions) is provenance. A row that is not sound is passed
over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from .draft import NEWEST, blocks, power_of_two

TUNING = Path(__file__).parents[1] / "tuning"
PROGRAMS = 132  # of an H100 or H200: with fewer, some multiprocessors have nothing to do


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows and columns of the result that a program makes, terms that it adds at a step, warps, steps loaded ahead."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int = 3


RULES: Mapping[str, Sequence[Tile]] = {
    "f16": (Tile(128, 128, 64, 8), Tile(128, 64, 64, 4), Tile(64, 64, 64, 4), Tile(64, 32, 64, 4)),
    "f32": (Tile(128, 64, 32, 8), Tile(64, 64, 32, 4), Tile(64, 32, 32, 4)),
    "f32-strict": (Tile(64, 64, 16, 4), Tile(32, 32, 16, 4)),
}
"""Largest first, none of which spills registers on sm_90: the first is taken that gives every multiprocessor work."""


def product_tile(template: str, precision: str, rows: int, columns: int, depth: int, many: int = 1) -> Tile:
    """The tile of a matrix product of rows × depth × columns, `many` times over."""
    problem = {"rows": rows, "columns": columns, "depth": depth, "many": many}
    tuned = measured(template, precision, tuple(problem.items()))
    if tuned is not None:
        return tuned
    wide, deep = power_of_two(columns, 16), power_of_two(depth, 16)
    fitting = [Tile(t.rows, min(t.columns, wide), min(t.depth, deep), t.warps, t.stages) for t in RULES[precision]]
    full = (t for t in fitting if blocks(rows, t.rows) * blocks(columns, t.columns) * many >= PROGRAMS)
    return next(full, fitting[-1])


def box(rows: int, pictures: int, height: int, width: int) -> tuple[int, int, int]:
    """Powers of two (pictures, rows, pixels) whose product is `rows`, which cover an image with the fewest tiles."""
    powers = [1 << k for k in range(rows.bit_length())]
    shapes = [(rows // (h * w), h, w) for h in powers for w in powers if h * w <= rows]
    return min(shapes, key=lambda s: (covering(s, pictures, height, width), -s[2], -s[1]))


def covering(shape: tuple[int, int, int], pictures: int, height: int, width: int) -> int:
    return prod(map(blocks, (pictures, height, width), shape))


@cache
def measured(template: str, precision: str, problem: tuple[tuple[str, int], ...]) -> Tile | None:
    """The row for this very problem, if somebody measured it and it is sound."""
    for row in table(NEWEST):
        if (row.get("template"), row.get("dtype"), row.get("problem")) == (template, precision, dict(problem)):
            tile = Tile(**row["tile"])
            sound = all(n >= 16 and n & (n - 1) == 0 for n in (tile.rows, tile.columns, tile.depth))
            return tile if sound and tile.warps in (1, 2, 4, 8) and tile.stages >= 1 else None
    return None


@cache
def table(architecture: str) -> list[dict[str, Any]]:
    path = TUNING / f"{architecture}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return rows
