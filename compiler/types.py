"""Tensor types: element type and logical shape, with dimensions that may be known only by a bound."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from ..runtime.artifact import DTYPES as DTYPES

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class AtMost:
    """A dimension that is known only at run time, by its upper bound: `?200`."""

    bound: int

    def __str__(self) -> str:
        return f"?{self.bound}"


Dim = int | AtMost


def upper_bound(dim: Dim) -> int:
    """The largest size of a dimension, for which memory is planned."""
    return dim.bound if isinstance(dim, AtMost) else dim


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and logical shape, in Caffe's axis order whatever the layout: `f32[1,3,224,224]`."""

    dtype: str
    dims: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.dims))}]"

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions as numbers. ValueError if one is known only at run time."""
        return tuple(map(self.size, range(self.rank)))

    def size(self, axis: int) -> int:
        """The size of one axis. ValueError if it is known only at run time."""
        if isinstance(dim := self.dims[axis], AtMost):
            raise ValueError(f"dimension {axis} of {self} has to be known before the net runs")
        return dim

    @property
    def rank(self) -> int:
        return len(self.dims)

    @property
    def is_static(self) -> bool:
        return not any(isinstance(d, AtMost) for d in self.dims)

    @property
    def bounds(self) -> tuple[int, ...]:
        """The largest shape."""
        return tuple(map(upper_bound, self.dims))

    @property
    def numel(self) -> int:
        """The number of elements; at most, if a dimension has only a bound."""
        return prod(self.bounds)

    @property
    def nbytes(self) -> int:
        """The size in bytes; at most, if a dimension has only a bound."""
        return self.numel * DTYPES[self.dtype].itemsize

    def with_shape(self, *dims: Dim) -> TensorType:
        return TensorType(self.dtype, dims)


def type_of(data: torch.Tensor) -> TensorType:
    return TensorType(DTYPE_NAMES[data.dtype], tuple(data.shape))
