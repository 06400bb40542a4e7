"""The CPU, by kernels in C that the runtime writes from the plan and compiles where it runs."""

from __future__ import annotations

from .target import Native as Native

__all__ = ["Native"]
