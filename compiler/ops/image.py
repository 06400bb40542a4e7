"""Functions that operators on images share: splitting a shape, and plurals for messages."""

from __future__ import annotations

from ..limits import MAX_INTEGER, format_large
from ..types import Dim, TensorType


def split_image_dims(x: TensorType) -> tuple[Dim, int, tuple[int, ...]]:
    """Batch, channels and image sizes of `[n, c, ...]`. ValueError below rank 3, or if a size has only a bound."""
    if x.rank < 3:
        raise ValueError(f"takes images [n, c, ...], not {x}")
    channels, *sizes = TensorType(x.dtype, x.dims[1:]).shape
    return x.dims[0], channels, tuple(sizes)


def require_int(number: int, what: str) -> None:
    """ValueError if Caffe, which counts it in an int, would overflow."""
    if number > MAX_INTEGER:
        raise ValueError(f"{what} would be {format_large(number)}, and Caffe counts up to {MAX_INTEGER}")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
