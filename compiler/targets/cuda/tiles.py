"""The tile shape of a matrix product: from the table of measured ones if the problem is there, else by rule.

tuning/ARCHITECTURE.json holds rows {"template", "problem", "dtype", "tile": {"rows", "columns", "depth", "warps",
"stages"}}; other keys of a row (seconds, the GPU, versions) are provenance. Invalid rows are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from .kernel_spec import NEWEST_ARCHITECTURE, ceil_div, next_power_of_two

TUNING_FOLDER = Path(__file__).with_name("tuning")
MIN_PROGRAMS = 132  # multiprocessors of an H100 or H200: with fewer programs some are idle


@dataclass(frozen=True, slots=True)
class TileShape:
    """Rows and columns of the result per program, depth of one step of the inner loop, warps, pipeline stages."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int = 3


TILE_RULES: Mapping[str, Sequence[TileShape]] = {
    "f16": (TileShape(128, 128, 64, 8), TileShape(128, 64, 64, 4), TileShape(64, 64, 64, 4), TileShape(64, 32, 64, 4)),
    "f32": (TileShape(128, 64, 32, 8), TileShape(64, 64, 32, 4), TileShape(64, 32, 32, 4)),
    "f32-strict": (TileShape(64, 64, 16, 4), TileShape(32, 32, 16, 4)),
}
"""By precision, largest first; none spills registers on sm_90. The first with enough programs is used."""


def matmul_tile(template: str, precision: str, rows: int, columns: int, depth: int, many: int = 1) -> TileShape:
    """The tile for a batch of `many` matrix products of rows × depth × columns."""
    problem = {"rows": rows, "columns": columns, "depth": depth, "many": many}
    tuned = tuned_tile(template, precision, tuple(problem.items()))
    if tuned is not None:
        return tuned
    most_columns, most_depth = next_power_of_two(columns, 16), next_power_of_two(depth, 16)
    fitting = [
        TileShape(t.rows, min(t.columns, most_columns), min(t.depth, most_depth), t.warps, t.stages)
        for t in TILE_RULES[precision]
    ]
    full = (t for t in fitting if ceil_div(rows, t.rows) * ceil_div(columns, t.columns) * many >= MIN_PROGRAMS)
    return next(full, fitting[-1])


def tma_tile(rows: int, pictures: int, height: int, width: int) -> tuple[int, int, int]:
    """The TMA tile (pictures, rows, columns): powers of two, product `rows`, that needs the fewest tiles."""
    powers = [1 << k for k in range(rows.bit_length())]
    shapes = [(rows // (h * w), h, w) for h in powers for w in powers if h * w <= rows]
    return min(shapes, key=lambda s: (tile_count(s, pictures, height, width), -s[2], -s[1]))


def tile_count(shape: tuple[int, int, int], pictures: int, height: int, width: int) -> int:
    return prod(map(ceil_div, (pictures, height, width), shape))


@cache
def tuned_tile(template: str, precision: str, problem: tuple[tuple[str, int], ...]) -> TileShape | None:
    """The measured tile of exactly this problem; None if there is no row for it, or an invalid one."""
    for row in read_tuning(NEWEST_ARCHITECTURE):
        if (row.get("template"), row.get("dtype"), row.get("problem")) == (template, precision, dict(problem)):
            tile = TileShape(**row["tile"])
            valid = all(n >= 16 and n & (n - 1) == 0 for n in (tile.rows, tile.columns, tile.depth))
            return tile if valid and tile.warps in (1, 2, 4, 8) and tile.stages >= 1 else None
    return None


@cache
def read_tuning(architecture: str) -> list[dict[str, Any]]:
    path = TUNING_FOLDER / f"{architecture}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return rows
