"""A model of the time of a kernel that multiplies matrices on sm_90, by which its tile is chosen.

Its constants are of an H100 or H200 as far as documents tell them; none was measured by running these kernels yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import ceil

from .arithmetic import ceil_div
from .hardware import MAX_SHARED, MULTIPROCESSORS, REGISTERS, WARP_SIZE
from .tiles import SHARED_MARGIN, MatmulProblem, TileShape, candidate_tiles, tuned_tile

FIXED_REGISTERS = 60  # per thread, beside those of the accumulator


@dataclass(frozen=True, slots=True)
class GpuModel:
    """The speed of a GPU. Bandwidths in bytes and rates in cycles per microsecond; latencies in cycles.

    `products`: multiply-adds per cycle and multiprocessor, by precision; three are one of f32.
    """

    clock: float = 1750.0
    bandwidth: float = 4.3e6
    cache_bandwidth: float = 5.5e6
    products: Mapping[str, float] = field(default_factory=lambda: {"f16": 2048 * 0.85, "f32": 1024 * 0.85 / 3})
    step_cycles: Mapping[str, int] = field(default_factory=lambda: {"f16": 40, "f32": 200})
    load_latency: int = 800
    start_cycles: int = 900
    end_cycles: int = 700
    split_cycles: int = 900  # to write a part of a sum, and count
    part_cycles: int = 60  # to read and add one
    stored_bytes: float = 110.0  # per cycle and multiprocessor
    launch: float = 3.8  # microseconds between two kernels that depend on each other


H100 = GpuModel()


@cache
def choose_tile(problem: MatmulProblem) -> TileShape | None:
    """The measured tile of a problem, else the fastest by the model; None if there is no candidate.

    Of equally fast ones, that with the fewest parts and programs.
    """
    if (tuned := tuned_tile(problem)) is not None:
        return tuned
    tiles = list(candidate_tiles(problem))
    return min(tiles, key=lambda t: (round(predict(problem, t), 2), t.split, -t.rows * t.columns), default=None)


def predict(problem: MatmulProblem, tile: TileShape, gpu: GpuModel = H100) -> float:
    """Microseconds of one launch, from the end of the kernel before it."""
    area, itemsize = tile.rows * tile.columns, problem.itemsize
    steps = ceil_div(problem.steps(tile.depth), tile.split)
    tiles = problem.row_tiles(tile.rows) * ceil_div(problem.columns, tile.columns)
    programs = tiles * tile.split * problem.many
    stage = (tile.rows + problem.weight_parts * tile.columns) * tile.depth * itemsize
    product = area * tile.depth / gpu.products[problem.dtype]
    step = max(product + gpu.step_cycles[problem.dtype], gpu.load_latency / max(tile.stages - 1, 1))
    end = gpu.end_cycles + (gpu.split_cycles + gpu.part_cycles * tile.split if tile.split > 1 else 0)
    rounds = ceil(programs / MULTIPROCESSORS)
    together = min(resident_programs(tile, stage), rounds)
    latency = rounds / together * (steps * step + end + gpu.start_cycles)
    throughput = rounds * (steps * product + area * itemsize * 3 / gpu.stored_bytes)
    parts = programs * area * 4 * 2 if tile.split > 1 else 0
    cached = (programs * steps * stage + parts) / gpu.cache_bandwidth
    return gpu.launch + max(
        latency / gpu.clock, throughput / gpu.clock, cached, 1.12 * least_bytes(problem) / gpu.bandwidth
    )


def resident_programs(tile: TileShape, stage: int) -> int:
    """Programs that one multiprocessor holds at a time."""
    threads = WARP_SIZE * tile.warps
    registers = tile.rows * tile.columns // threads + FIXED_REGISTERS
    by_memory = MAX_SHARED // (tile.stages * stage + SHARED_MARGIN)
    return max(1, min(by_memory, REGISTERS // (registers * threads)))


def least_bytes(problem: MatmulProblem) -> int:
    """Bytes that a launch reads and writes at least: operands once, and the result."""
    read = problem.rows * problem.stride[0] * problem.stride[1] * problem.depth * problem.many
    weights = problem.columns * problem.depth * problem.taps * problem.weight_parts * problem.many
    return (read + weights + problem.rows * problem.columns * problem.many) * problem.itemsize
