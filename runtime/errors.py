"""The error of the runtime: a compiled file cannot be used."""

from __future__ import annotations


class ArtifactError(ValueError):
    """A compiled file cannot be used. One sentence: which file or step, what is wrong, what to do."""
