"""What a net is made of, as a script sees it: its blobs, layers and learnt blobs, and their names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from ..live_net import LiveLayer, LiveNet
from .blob import Array, BlobVec, CaffeBlob, ParameterBlob
from .errors import caffe_errors
from .net_blobs import NetBlobs
from .python_layers import PythonLayers
from .splits import ListedLayer


class Named(OrderedDict[str, Any]):
    """Blobs or layers by name, with the methods that dictionaries of Python 2 had."""

    def has_key(self, name: str) -> bool:
        """`name in self`."""
        return name in self

    iteritems = OrderedDict.items
    iterkeys = OrderedDict.keys
    itervalues = OrderedDict.values


class LayerView:
    """A layer of a net: its type and its learnt blobs."""

    def __init__(self, listed: ListedLayer, blobs: BlobVec) -> None:
        self.type, self.blobs = listed.type, blobs


class NetParts:
    """The attributes of `caffe.Net` that name its parts. The subclass reads the net."""

    _live: LiveNet
    _listed: Sequence[ListedLayer]
    _blobs_by_name: NetBlobs
    _python: PythonLayers

    @cached_property
    def blobs(self) -> Named:
        """The blobs by name, in the order of the layers, those of the Split layers that Caffe inserts included."""
        return Named(self._blobs_by_name.by_name)

    @cached_property
    def layers(self) -> list[LayerView]:
        """The layers, those that Caffe inserts included."""
        return [LayerView(listed, self._learnt_of(listed.number)) for listed in self._listed]

    @cached_property
    def layer_dict(self) -> Named:
        """The layers by name."""
        return Named(zip(self._layer_names, self.layers, strict=True))

    @cached_property
    def params(self) -> Named:
        """The learnt blobs, in a BlobVec, by the names of the layers that have any."""
        return Named((name, layer.blobs) for name, layer in self.layer_dict.items() if layer.blobs)

    @cached_property
    def inputs(self) -> list[str]:
        """The inputs: the tops of Input layers."""
        inputs = [top for layer in self._listed if layer.type == "Input" for top in layer.tops]
        return [name for name in inputs if name in self._live.inputs]

    @cached_property
    def outputs(self) -> list[str]:
        """The blobs that no layer reads, sorted by name, as in Caffe."""
        return sorted(self._live.outputs)

    @property
    def top_names(self) -> Named:
        """The tops of the layers by name."""
        return Named((layer.name, list(layer.tops)) for layer in self._listed)

    @property
    def bottom_names(self) -> Named:
        """The bottoms of the layers by name."""
        return Named((layer.name, list(layer.bottoms)) for layer in self._listed)

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self._listed]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[CaffeBlob]:
        return list(self.blobs.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._listed[layer].tops]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._listed[layer].bottoms]

    def _learnt_of(self, number: int) -> BlobVec:
        """The learnt blobs of a layer of the file; none for -1."""
        if number < 0:
            return BlobVec()
        if number in self._python.all:
            return self._python.all[number].blobs
        layer = self._live.layers[number]
        with caffe_errors():
            shapes = layer.param_shapes
        return BlobVec(ParameterBlob(array_finder(layer, i), shape) for i, shape in enumerate(shapes))


def array_finder(layer: LiveLayer, index: int) -> Callable[[], Array]:
    """A function that finds a learnt blob's array."""

    def find() -> Array:
        with caffe_errors():
            return layer.params[index]

    return find
