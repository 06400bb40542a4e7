"""Maps Caffe's blobs, which layers may write in place, to values that are assigned once.

Each write to a blob makes a new value, and the blob's name refers to the last one. Split, Flatten and Reshape (and
Concat or Slice with one bottom or top) alias their bottom's storage, so an in-place layer after one of them also
changes the blobs that share it. Caffe does this (golden case inplace_reshape_alias); so does cortado, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...compiler.ir import Value
from ...compiler.types import Dim


@dataclass(eq=False)
class BlobStorage:
    """Storage that blobs share: its current value, the same value reshaped (by dims), and the names of its blobs."""

    value: Value
    shapes: dict[tuple[Dim, ...], Value] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    version: int = 0

    def __post_init__(self) -> None:
        self.write(self.value)

    def write(self, value: Value) -> None:
        """Replace the current value, and drop its reshaped forms."""
        self.value, self.shapes = value, {value.type.dims: value}
        self.version += 1


@dataclass(eq=False)
class TrackedBlob:
    """A blob: storage viewed in a shape, the layer that wrote it last, and the layers that have read it since.

    `made` is that layer's top. It is the blob's value until the storage is written again, even if another value has the
    same shape: for other sizes of the inputs it may not.
    """

    name: str
    storage: BlobStorage
    made: Value
    layer: str
    readers: list[str] = field(default_factory=list)
    is_read: bool = False

    def __post_init__(self) -> None:
        self.version = self.storage.version

    @property
    def dims(self) -> tuple[Dim, ...]:
        return self.made.type.dims

    @property
    def values(self) -> tuple[Value, ...]:
        """What the blob, and those that share its storage, are now."""
        return (*self.storage.shapes.values(), self.made)

    @property
    def is_current(self) -> bool:
        """False if an alias of this blob was written in place since."""
        return self.version == self.storage.version

    def write(self, value: Value, layer: str) -> None:
        """Replace the blob's value, in place."""
        self.storage.write(value)
        self.made, self.version, self.layer, self.is_read = value, self.storage.version, layer, False
        self.readers.clear()
