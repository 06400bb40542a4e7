"""Functions that operators on images share: splitting a shape, and plurals for messages."""

from __future__ import annotations

from collections.abc import Sequence

from ..limits import MAX_INTEGER, format_large
from ..types import AtMost, Dim, TensorType


def split_image_dims(x: TensorType) -> tuple[Dim, int, tuple[int, ...]]:
    """Batch, channels and image sizes of `[n, c, ...]`. ValueError below rank 3, or if a size has only a bound."""
    require_image(x)
    return x.dims[0], x.size(1), tuple(map(x.size, range(2, x.rank)))


def split_bounded_image(x: TensorType) -> tuple[Dim, int, tuple[int, ...]]:
    """Batch, channels and largest image sizes of `[n, c, ...]`. ValueError below rank 3, or if c has only a bound."""
    require_image(x)
    return x.dims[0], x.size(1), x.bounds[2:]


def require_image(x: TensorType) -> None:
    """ValueError below rank 3."""
    if x.rank < 3:
        raise ValueError(f"takes images [n, c, ...], not {x}")


def bound_like(x: TensorType, sizes: Sequence[int]) -> list[Dim]:
    """The image sizes that come of the largest ones of `x`: bounds where `x` has bounds.

    For sizes that do not decrease where those of `x` increase.
    """
    return [AtMost(n) if isinstance(d, AtMost) else n for d, n in zip(x.dims[2:], sizes, strict=True)]


def require_int(number: int, what: str) -> None:
    """ValueError if Caffe, which counts it in an int, would overflow."""
    if number > MAX_INTEGER:
        raise ValueError(f"{what} would be {format_large(number)}, and Caffe counts up to {MAX_INTEGER}")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
