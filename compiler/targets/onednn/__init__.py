"""The target for CPUs: torch's primitives, and oneDNN's on packed weights."""

from __future__ import annotations

from .target import OneDnn as OneDnn

__all__ = ["OneDnn"]
