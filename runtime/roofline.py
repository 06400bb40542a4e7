"""What this machine's CPU can do at best, measured: arithmetic by a convolution, memory by a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from .net import torch_threads

CONVOLUTIONS = ((64, 56), (128, 28), (256, 28))  # channels and image: 3x3 windows that oneDNN is at its best with
MEMORY_BYTES, CACHE_BYTES = 128 << 20, 256 << 10  # bytes: more than caches hold, and what stays in them
MIN_ATTEMPTS, MIN_SECONDS = 4, 0.15  # so many at least, and seconds of them


@dataclass(frozen=True, slots=True)
class Roofline:
    """The best rates seen, a second.

    `flops` are of an f32 convolution by oneDNN, a multiplication and an addition counting as two. `memory_bandwidth` is
    in bytes read and written by a copy between blocks larger than the caches, `cache_bandwidth` by one within them.
    """

    flops: float
    memory_bandwidth: float
    cache_bandwidth: float

    def max_with(self, other: Roofline) -> Roofline:
        """The higher of two measurements: whatever else the machine does can only lower one."""
        return Roofline(
            max(self.flops, other.flops),
            max(self.memory_bandwidth, other.memory_bandwidth),
            max(self.cache_bandwidth, other.cache_bandwidth),
        )


def measure_roofline(threads: int | None = None) -> Roofline:
    """Measure with so many threads (None: torch's setting). It takes a second or so, and 256 MiB of memory."""
    with torch_threads(threads), torch.inference_mode():
        return Roofline(
            flops=max(measure_convolution(channels, side) for channels, side in CONVOLUTIONS),
            memory_bandwidth=measure_copy(MEMORY_BYTES, 1),
            cache_bandwidth=measure_copy(CACHE_BYTES, 100),
        )


def measure_convolution(channels: int, side: int) -> float:
    """Operations a second of [1,C,S,S], innermost channels, by C windows of 3x3, packed."""
    x = torch.ones(1, channels, side, side).to(memory_format=torch.channels_last)
    ones: Sequence[int] = (1, 1)
    weight: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        torch.ones(channels, channels, 3, 3), ones, ones, ones, 1
    )

    def run() -> None:
        torch.ops.mkldnn._convolution_pointwise(x, weight, None, ones, ones, ones, 1, "none", [], "")

    return 2 * (side * channels * 3) ** 2 / best_seconds(run)


def measure_copy(nbytes: int, times: int) -> float:
    """Bytes a second, read and written, of copying a block over and over."""
    source, target = torch.ones(nbytes, dtype=torch.uint8), torch.empty(nbytes, dtype=torch.uint8)

    def run() -> None:
        for _ in range(times):
            target.copy_(source)

    return 2 * nbytes * times / best_seconds(run)


def best_seconds(run: Callable[[], None]) -> float:
    """Seconds of the best attempt, after one that does not count."""
    run()
    times = list[float]()
    while len(times) < MIN_ATTEMPTS or sum(times) < MIN_SECONDS:
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)
