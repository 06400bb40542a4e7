"""Measures this machine's roofline: peak f32 operations and memory bandwidth of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from .threads import torch_threads

CONVOLUTIONS = ((64, 56), (128, 28), (256, 28))  # (channels, image size) of 3x3 convolutions at which oneDNN is fastest
MEMORY_BYTES, CACHE_BYTES = 128 << 20, 256 << 10  # bytes: larger than the caches, and small enough for them
MIN_ATTEMPTS, MIN_SECONDS = 4, 0.15  # a measurement has at least this many attempts and seconds


@dataclass(frozen=True, slots=True)
class Roofline:
    """Peak rates, per second.

    `flops`: of an f32 convolution by oneDNN, a multiplication and an addition counting as two. `memory_bandwidth`:
    bytes read and written by a copy between blocks larger than the caches; `cache_bandwidth`: by one within them.
    """

    flops: float
    memory_bandwidth: float
    cache_bandwidth: float

    def max_with(self, other: Roofline) -> Roofline:
        """The maximum of two measurements: other load on the machine can only lower one."""
        return Roofline(
            max(self.flops, other.flops),
            max(self.memory_bandwidth, other.memory_bandwidth),
            max(self.cache_bandwidth, other.cache_bandwidth),
        )


def measure_roofline(threads: int | None = None) -> Roofline:
    """Measure with `threads` threads (None: torch's setting). It takes about a second, and 256 MiB of memory."""
    with torch_threads(threads), torch.inference_mode():
        return Roofline(
            flops=max(measure_convolution(channels, size) for channels, size in CONVOLUTIONS),
            memory_bandwidth=measure_copy(MEMORY_BYTES, 1),
            cache_bandwidth=measure_copy(CACHE_BYTES, 100),
        )


def measure_convolution(channels: int, size: int) -> float:
    """Operations per second of a packed 3x3 convolution of [1,C,S,S], channels last, to C channels."""
    x = torch.ones(1, channels, size, size).to(memory_format=torch.channels_last)
    ones: Sequence[int] = (1, 1)
    weight: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        torch.ones(channels, channels, 3, 3), ones, ones, ones, 1
    )

    def run() -> None:
        torch.ops.mkldnn._convolution_pointwise(x, weight, None, ones, ones, ones, 1, "none", [], "")

    return 2 * (size * channels * 3) ** 2 / best_seconds(run)


def measure_copy(nbytes: int, times: int) -> float:
    """Bytes per second, read and written, of `times` copies of a block."""
    source, target = torch.ones(nbytes, dtype=torch.uint8), torch.empty(nbytes, dtype=torch.uint8)

    def run() -> None:
        for _ in range(times):
            target.copy_(source)

    return 2 * nbytes * times / best_seconds(run)


def best_seconds(run: Callable[[], None]) -> float:
    """Seconds of the fastest run, after one run to warm up."""
    run()
    times = list[float]()
    while len(times) < MIN_ATTEMPTS or sum(times) < MIN_SECONDS:
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)
