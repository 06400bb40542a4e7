"""Runs compiled nets. Knows files, tensors and the order of steps; knows nothing of graphs, and imports no compiler."""

from __future__ import annotations

from .net import Net as Net
from .net import load as load
from .plan import ArtifactError as ArtifactError

__all__ = ["ArtifactError", "Net", "load"]
