"""The CPU, by torch's primitives and oneDNN's packed ones."""

from __future__ import annotations

from .target import OneDnn as OneDnn

__all__ = ["OneDnn"]
