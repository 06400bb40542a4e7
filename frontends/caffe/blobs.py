"""Caffe's blobs as values that exist once.

A Caffe blob is a piece of memory that layers write, some of them in place. Here each write makes a new value, and a
blob's name stands for the last one. Split, Flatten and Reshape (and Concat or Slice with one bottom or top) share their
bottom's memory, so a layer in place behind one of them changes what the other names show, too: real Caffe does this
(golden case inplace_reshape_alias), so we do, and warn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...compiler.ir import Value
from ...compiler.types import Dim


@dataclass(eq=False)
class BlobStorage:
    """A piece of Caffe's memory: what stands in it now, in the shape of the blob that wrote it, and in other shapes."""

    value: Value
    shapes: dict[tuple[Dim, ...], Value] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write(self.value)

    def write(self, value: Value) -> None:
        self.value, self.shapes = value, {value.type.dims: value}


@dataclass(eq=False)
class TrackedBlob:
    """A name in the net: memory, seen in a shape; who wrote it and who has read it since."""

    name: str
    storage: BlobStorage
    dims: tuple[Dim, ...]
    layer: str
    readers: list[str] = field(default_factory=list)
    is_read: bool = False
