"""Functions that operators on images share: splitting a shape, and plurals for messages."""

from __future__ import annotations

from ..types import Dim, TensorType


def split_image_dims(x: TensorType) -> tuple[Dim, int, tuple[int, ...]]:
    """Batch, channels and image sizes of `[n, c, ...]`. ValueError below rank 3, or if a size has only a bound."""
    if x.rank < 3:
        raise ValueError(f"takes images [n, c, ...], not {x}")
    channels, *sizes = TensorType(x.dtype, x.dims[1:]).shape
    return x.dims[0], channels, tuple(sizes)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
