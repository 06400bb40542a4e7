"""How work is divided: the size of a register tile, and how many tasks a step has."""

from __future__ import annotations

from functools import cache

from .machine import Machine

TASK_MICROSECONDS = 12  # a task that is shorter costs more to claim than it saves
MOST_TASKS = 64
GIGAFLOPS = 110.0  # of one core at its best with AVX-512; what counts is the ratio to TASK_MICROSECONDS


@cache
def choose_tile(machine: Machine, pixels: int, vectors: int, length: int, most_pixels: int = 28) -> tuple[int, int]:
    """Pixels and vectors of the register tile that needs the fewest cycles for a row of `pixels` by `vectors`.

    `length` is how many products each number is the sum of. A tile of M by N keeps M·N accumulators and N weights in
    registers. Its inner loop costs M·N multiply-adds (at least 4, for their latency), M broadcasts and N loads.
    """
    best, chosen = float("inf"), (1, 1)
    for n in range(1, min(vectors, 8) + 1):
        for m in range(1, min(pixels, most_pixels) + 1):
            if m * n + n > machine.registers - 2 or m * n > machine.registers - 4 or (n > 4 and m > 1):
                continue
            full_m, rest_m, full_n, rest_n = pixels // m, pixels % m, vectors // n, vectors % n
            cycles = full_n * (full_m * tile_cycles(m, n, length) + tile_cycles(rest_m, n, length))
            cycles += full_m * tile_cycles(m, rest_n, length) + tile_cycles(rest_m, rest_n, length)
            if cycles < best - 1e-9:
                best, chosen = cycles, (m, n)
    return chosen


def tile_cycles(m: int, n: int, length: int) -> float:
    return (max(m * n, 4.0, m + n) * length + 20 + 1.5 * m * n) if m and n else 0.0


def split(machine: Machine, count: int, microseconds: float) -> int:
    """How many of `count` equal units a task should have, for work that takes one core so long.

    The time of the slowest thread counts, and half a microsecond for each task.
    """
    if count <= 1:
        return 1
    most = max(1, min(MOST_TASKS, count, int(microseconds / TASK_MICROSECONDS)))
    best, chosen = float("inf"), count
    for tasks in range(1, most + 1):
        size = -(-count // tasks)
        made = -(-count // size)
        rounds = -(-made // machine.threads)
        cost = microseconds * rounds * size / count + 0.5 * made / machine.threads
        if cost < best - 1e-9:
            best, chosen = cost, size
    return chosen


def microseconds(flops: float) -> float:
    """What so many operations take one core."""
    return flops / (GIGAFLOPS * 1e3)
