"""Why a step cannot be written: there is no kernel for it, or its parts do not belong together."""

from __future__ import annotations


class NotNative(ValueError):
    """There is no native kernel for a step, with the reason."""


UNFIT = (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError)  # what a writer makes of nonsense
