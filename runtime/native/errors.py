"""The one reason for which a writer declines a step."""

from __future__ import annotations


class NotNative(ValueError):
    """There is no native kernel for a step, with the reason."""
