"""NVIDIA GPUs, by Triton kernels that are compiled ahead of time."""

from __future__ import annotations

from .target import PRECISIONS as PRECISIONS
from .target import Cuda as Cuda

__all__ = ["PRECISIONS", "Cuda"]
