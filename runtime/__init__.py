"""The runtime: loads and runs compiled nets. It does not depend on graphs, and imports no compiler."""

from __future__ import annotations

from .net import Net as Net
from .net import load as load
from .plan import ArtifactError as ArtifactError

__all__ = ["ArtifactError", "Net", "load"]
