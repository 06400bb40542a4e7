"""Runs plans for NVIDIA GPUs through CUDA's driver alone: no Triton, no toolkit, no compiler is needed.

Nothing here is imported before a net of the target "cuda" is loaded.
"""

from __future__ import annotations

from .program import CudaProgram as CudaProgram

__all__ = ["CudaProgram"]
