"""The numbers of the fields by which a caffemodel is taken apart: Caffe's, or those of a fork's caffe.proto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .schema import field_types

# The fields of BlobProto that are read, by their numbers in Caffe; in C3D there is `length`, and the data move on.
BLOB_NUMBERS = {
    False: {"num": 1, "channels": 2, "height": 3, "width": 4, "data": 5, "shape": 7, "double_data": 8,
            "raw_data_type": 10, "raw_data": 12},
    True: {"num": 1, "channels": 2, "length": 3, "height": 4, "width": 5, "data": 6},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerFieldNumbers:
    """The field numbers of a layer message; 0 for a field that it lacks.

    `message` is LayerParameter or V1LayerParameter; `types` are the names of types that are numbers in the file;
    `inner` is a field that holds the actual layer, as in V0, and its numbers.
    """

    message: str
    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    types: Mapping[int, str] = field(default_factory=dict)
    inner: tuple[int, LayerFieldNumbers] | None = None


@dataclass(frozen=True, slots=True)
class CaffemodelLayout:
    """The numbers of a net: of its `name`, of its layers, by their fields, and in blobs, where they are not Caffe's."""

    name: int
    layers: Mapping[int, LayerFieldNumbers]
    blobs: Mapping[int, int] | None = None


def caffe_layout() -> CaffemodelLayout:
    """Caffe's numbers, of all generations."""
    v1_types = {number: name for name, number in field_types("V1LayerParameter")["type"].numbers.items()}
    v0 = LayerFieldNumbers("V0LayerParameter", name=1, type=2, bottom=0, top=0, blobs=50)
    current = LayerFieldNumbers("LayerParameter", name=1, type=2, bottom=3, top=4, blobs=7)
    v1 = LayerFieldNumbers("V1LayerParameter", 4, 5, 2, 3, 6, v1_types, (1, v0))
    return CaffemodelLayout(1, {100: current, 2: v1})
