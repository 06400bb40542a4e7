"""A model of the time of kernels on sm_90, by which the tiles of those that multiply matrices are chosen.

Its constants are of an H100 or H200 as far as documents tell them; none was measured by running these kernels yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from math import ceil, prod

from .arithmetic import ceil_div
from .hardware import MAX_SHARED, MULTIPROCESSORS, REGISTERS, WARP_SIZE
from .kernel_spec import KernelSpec
from .tiles import SHARED_MARGIN, MatmulProblem, TileShape, candidate_tiles, tuned_tile

MIN_VECTOR = 8  # elements that are loaded at once: fewer channels are loaded one by one
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
    launch: float = 3.8  # microseconds from the end of a kernel to the start of one that depends on it
    least: float = 1.0  # microseconds of a kernel that only moves numbers
    pointer_step: float = 0.8  # microseconds of a step of a product whose operands are loaded by pointers
    flat_step: float = 3.1  # if each element of them is loaded alone
    together: int = 2  # such programs on a multiprocessor


H100 = GpuModel()
OVERLAPPING = replace(H100, launch=2.1)
"""With programmatic dependent launch."""


@cache
def choose_tile(problem: MatmulProblem) -> TileShape | None:
    """The measured tile of a problem, else the fastest by the model; None if there is no candidate.

    Of equally fast ones, that with the fewest parts, the fewest numbers beyond the result, and the fewest programs.
    """
    if (tuned := tuned_tile(problem)) is not None:
        return tuned

    def rank(tile: TileShape) -> tuple[float, int, int, int]:
        area = tile.rows * tile.columns
        return round(predict(problem, tile), 2), tile.split, area * count_tiles(problem, tile), -area

    return min(candidate_tiles(problem), key=rank, default=None)


def count_tiles(problem: MatmulProblem, tile: TileShape) -> int:
    """Tiles that cover the result."""
    return problem.row_tiles(tile.rows) * ceil_div(problem.columns, tile.columns)


def predict(problem: MatmulProblem, tile: TileShape, gpu: GpuModel = H100) -> float:
    """Microseconds of one launch, from the end of the kernel before it."""
    area, itemsize = tile.rows * tile.columns, problem.itemsize
    steps = ceil_div(problem.steps(tile.depth), tile.split)
    programs = count_tiles(problem, tile) * tile.split * problem.many
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


def predict_launch(spec: KernelSpec, nbytes: int) -> float:
    """Microseconds of any launch that reads and writes so many bytes, from the end of the kernel before it."""
    gpu, moved = OVERLAPPING if spec.overlaps else H100, 1.15 * nbytes
    if spec.problem is None or spec.tile is None:
        return gpu.launch + max(moved / gpu.bandwidth, gpu.least)
    if spec.problem.template != "conv":
        return predict(spec.problem, spec.tile, gpu)
    flat = spec.problem.depth % MIN_VECTOR != 0
    step = gpu.flat_step if flat else gpu.pointer_step
    rounds = ceil_div(prod(spec.grid), MULTIPROCESSORS * gpu.together)
    return gpu.launch + max(moved / gpu.bandwidth, rounds * spec.problem.steps(spec.tile.depth) * step)


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
