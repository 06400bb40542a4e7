"""Where nets run: `set_mode_cpu`, `set_mode_gpu`, `set_device`, as Caffe has them for a whole process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import warn


@dataclass
class Mode:
    """The settings of the process.

    `dialects` are the forks whose layers are meant, and `proto` is the caffe.proto of one, as `compile` takes them.
    """

    target: str = "cpu"
    dialects: Sequence[str] = ()
    proto: str | Path | None = None
    has_warned: bool = False
    trusts_layers: bool = False


MODE = Mode()


def set_mode_cpu() -> None:
    """Run nets on the CPU from now on."""
    MODE.target = "cpu"


def set_mode_gpu() -> None:
    """Run nets on the GPU from now on; without one on the CPU, with one warning."""
    if torch.cuda.is_available():
        MODE.target = "cuda"
    elif not MODE.has_warned:
        MODE.has_warned = True
        warn("there is no GPU that torch can use: nets run on the CPU")


def set_device(device_id: int) -> None:
    """The GPU that is used, by number; without one it has no effect."""
    if torch.cuda.is_available():
        torch.cuda.set_device(device_id)


def set_random_seed(seed: int) -> None:
    """It has no effect: layers without weights have the same random numbers each time, by their names."""


@contextmanager
def device_mode(gpu: bool, dialects: Sequence[str], proto: str | None) -> Iterator[None]:
    """Run nets on the GPU, or on the CPU, and mean the layers and files of these forks, until the block ends."""
    before = MODE.target, MODE.dialects, MODE.proto
    try:
        set_mode_gpu() if gpu else set_mode_cpu()
        MODE.dialects, MODE.proto = dialects, proto
        yield
    finally:
        MODE.target, MODE.dialects, MODE.proto = before
