"""The tile shape of a matrix product: from the table of measured ones if the problem is there, else by a model or rule.

tuning/ARCHITECTURE.json holds rows {"template", "problem", "dtype", "tile": {"rows", "columns", "depth", "warps",
"stages", "split"}}; other keys of a row (seconds, the GPU, versions) are provenance. A row whose tile is no candidate
of its problem is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from .arithmetic import ceil_div, next_power_of_two
from .hardware import MAX_SHARED, MULTIPROCESSORS, NEWEST_ARCHITECTURE

TUNING_FOLDER = Path(__file__).with_name("tuning")
SHARED_MARGIN = 2048  # bytes of it for barriers
MAX_STAGES = 8
SPLITS: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True, slots=True)
class TileShape:
    """Rows and columns of the result per program, depth of one step of the inner loop, warps, pipeline stages.

    `split`: the number of programs that compute one tile, each a part of the inner loop.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int = 3
    split: int = 1


@dataclass(frozen=True, slots=True)
class MatmulProblem:
    """A matrix product, or `many` of them: rows × depth × columns, with `taps` such products added.

    Of a convolution, rows are the pixels of `image` (pictures, height, width), columns the output channels, depth the
    input channels, and taps the places of the window. `stride` is that of rows and columns. `results`: how many slices
    of the columns are stored apart, which takes registers.
    """

    template: str
    dtype: str
    rows: int
    columns: int
    depth: int
    taps: int = 1
    stride: tuple[int, int] = (1, 1)
    image: tuple[int, int, int] | None = None
    many: int = 1
    results: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The problem as a row of the tuning table has it: `template` and `dtype` are keys of their own there."""
        stated = {k: v for k, v in asdict(self).items() if k not in ("template", "dtype")}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in stated.items()}

    @property
    def itemsize(self) -> int:
        return 2 if self.dtype == "f16" else 4

    @property
    def weight_parts(self) -> int:
        """The weight of f32 is two tensors of tf32 numbers where tensor cores read it from shared memory."""
        return 1 if self.dtype == "f16" else 2

    def steps(self, depth: int) -> int:
        """Steps of the inner loop."""
        return self.taps * ceil_div(self.depth, depth)

    def row_tiles(self, rows: int) -> int:
        """Tiles of so many rows, in the shape that needs the fewest of them."""
        if self.image is None:
            return ceil_div(self.rows, rows)
        return tile_count(tma_tile(rows, *self.image), *self.image)


TILE_RULES: Mapping[str, Sequence[TileShape]] = {
    "f16": (TileShape(128, 128, 64, 8), TileShape(128, 64, 64, 4), TileShape(64, 64, 64, 4), TileShape(64, 32, 64, 4)),
    "f32": (TileShape(128, 64, 32, 8), TileShape(64, 64, 32, 4), TileShape(64, 32, 32, 4)),
    "f32-strict": (TileShape(64, 64, 16, 4), TileShape(32, 32, 16, 4)),
}
"""Of kernels without TMA, by precision, largest first; none spills. The first with enough programs is used."""


def rule_tile(problem: MatmulProblem) -> TileShape:
    """The tile of a kernel that loads by pointers."""
    if (tuned := tuned_tile(problem)) is not None:
        return tuned
    most_columns, most_depth = next_power_of_two(problem.columns, 16), next_power_of_two(problem.depth, 16)
    fitting = [
        replace(t, columns=min(t.columns, most_columns), depth=min(t.depth, most_depth))
        for t in TILE_RULES[problem.dtype]
    ]
    full = (
        t
        for t in fitting
        if ceil_div(problem.rows, t.rows) * ceil_div(problem.columns, t.columns) * problem.many >= MULTIPROCESSORS
    )
    return next(full, fitting[-1])


def candidate_tiles(problem: MatmulProblem) -> Iterator[TileShape]:
    """The tiles with which a kernel that loads by TMA can compute a problem.

    The operand on the left of the tensor cores has at least 64 rows: the weight of f16, the image of f32. The numbers
    that a thread accumulates are bounded by its registers; f32 needs some for the parts of the image, too.
    """
    swapped = problem.dtype == "f16"
    depth = min(64 if swapped else 32, next_power_of_two(problem.depth, 16))
    if problem.stride[1] > 1:
        while problem.depth % depth and depth > 16:
            depth //= 2
        if problem.depth % depth:
            return
    some_rows, some_columns, four_warps, most = (
        ((16, 32, 64, 128, 256), (64, 128, 256), 8192, 32768) if swapped else ((64, 128), (16, 32, 64, 128), 4096, 8192)
    )
    most = most if problem.results == 1 else most // 2
    for rows, columns in product(some_rows, some_columns):
        if rows * columns > most or columns // 2 >= max(problem.columns, some_columns[0]):
            continue
        warps = 4 if rows * columns <= four_warps else 8
        stage = (rows + problem.weight_parts * columns) * depth * problem.itemsize
        for split in SPLITS:
            if split == 1 or problem.steps(depth) >= 2 * split:
                stages = min(MAX_STAGES, (MAX_SHARED - SHARED_MARGIN) // stage, max(problem.steps(depth) // split, 2))
                yield TileShape(rows, columns, depth, warps, stages, split)


def tma_tile(rows: int, pictures: int, height: int, width: int) -> tuple[int, int, int]:
    """The TMA tile (pictures, rows, columns): powers of two, product `rows`, that needs the fewest tiles."""
    powers = [1 << k for k in range(rows.bit_length())]
    shapes = [(rows // (h * w), h, w) for h in powers for w in powers if h * w <= rows]
    return min(shapes, key=lambda s: (tile_count(s, pictures, height, width), -s[2], -s[1]))


def tile_count(shape: tuple[int, int, int], pictures: int, height: int, width: int) -> int:
    return prod(map(ceil_div, (pictures, height, width), shape))


@cache
def tuned_tile(problem: MatmulProblem) -> TileShape | None:
    """The measured tile of exactly this problem; None if there is no row for it, or an invalid one."""
    stated = problem.to_dict()
    for row in read_tuning(NEWEST_ARCHITECTURE):
        if (row.get("template"), row.get("dtype"), row.get("problem")) == (problem.template, problem.dtype, stated):
            tile = TileShape(**row["tile"])
            return tile if is_valid(tile, problem) else None
    return None


def is_valid(tile: TileShape, problem: MatmulProblem) -> bool:
    """True if a kernel of the problem can have this tile."""
    powers = all(n >= 16 and n & (n - 1) == 0 for n in (tile.rows, tile.columns, tile.depth))
    divides = problem.stride[1] == 1 or problem.depth % tile.depth == 0 or problem.template == "conv"
    return powers and divides and tile.warps in (1, 2, 4, 8) and tile.stages >= 1 and tile.split >= 1


@cache
def read_tuning(architecture: str) -> list[dict[str, Any]]:
    path = TUNING_FOLDER / f"{architecture}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return rows
