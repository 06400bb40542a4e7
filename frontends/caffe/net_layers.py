"""A net's layers as they were imported, upgraded to today's format, each with the data of its learnt blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...compiler.ir import Graph
from ...compiler.types import Dim, TensorType
from ..files.message import Message
from .blob_graph import LearntBlob, learnt_blobs
from .dialects import Dialects
from .fillers import fill
from .importer import Warn
from .layer import Layer
from .net import import_layers
from .rules import State, select_layers
from .weights import MissingBlob, Shape, WeightSource


@dataclass(frozen=True, eq=False)
class NetLayer:
    """A layer of a net, in today's format.

    `blobs` are its learnt blobs in Caffe's order and shapes, f32; () if it has none, or they are unknown. `inputs` are
    its tops that are inputs of the net, with their types: all of them for an Input, some for a data layer. `shares`:
    its tops are its bottom's storage.
    """

    message: Message
    blobs: tuple[torch.Tensor, ...] = ()
    inputs: tuple[tuple[str, TensorType], ...] = ()
    shares: bool = False


@dataclass(frozen=True, eq=False)
class NetLayers:
    """A net as layers and as a graph.

    `message` is the net, upgraded; `inputs` are those that it declares at the top of the file. The layers are in the
    order of the file, those that compute nothing for the outputs left out.
    """

    message: Message
    graph: Graph
    inputs: tuple[tuple[str, TensorType], ...]
    layers: tuple[NetLayer, ...]


def import_net_layers(
    message: Message,
    weights: WeightSource,
    *,
    state: State,
    shapes: Mapping[str, Sequence[Dim]],
    outputs: Sequence[str],
    lenient: bool,
    dialects: Dialects,
    warn: Warn,
) -> NetLayers:
    """Import the layers of a NetParameter. Arguments and errors are those of `build_graph`."""
    source = RecordedWeights(weights)
    importer, found = import_layers(message, source, state, shapes, outputs, lenient, dialects, source.fill, warn)
    graph = importer.finish(found)
    upgraded = importer.message
    types = {value.name: value.type for value in importer.inputs}
    computed = {layer.message.loc: (layer, values) for layer, values in importer.made}
    layers = list[NetLayer]()
    for layer in select_layers(upgraded["layer"], state.with_file_stages(upgraded), []):
        made = computed.get(layer.loc)
        given = () if layer["bottom"] else tuple((t, types.pop(t)) for t in layer["top"] if t in types)
        if given:
            layers.append(NetLayer(layer, inputs=given))
        if made is not None:
            found_layer, values = made
            blobs = source.blobs_of(found_layer, learnt_blobs(found_layer, importer.parameters))
            shares = found_layer.layer_type.shares or any(v in found_layer.bottoms for v in values)
            layers.append(NetLayer(found_layer.message, blobs, shares=shares))
    return NetLayers(upgraded, graph, tuple(types.items()), tuple(layers))


class RecordedWeights:
    """Weights from another source, which is asked once for each blob; what fillers made is among them."""

    def __init__(self, source: WeightSource) -> None:
        self.source = source
        self.known: dict[tuple[str, int], torch.Tensor | None] = {}

    def blob(self, layer: str, type: str, index: int, shape: Shape) -> torch.Tensor | None:
        if (layer, index) not in self.known:
            self.known[layer, index] = self.source.blob(layer, type, index, shape)
        return self.known[layer, index]

    def count(self, layer: str) -> int | None:
        return self.source.count(layer)

    def is_different(self, layer: str, index: int, owned: torch.Tensor) -> bool:
        return self.source.is_different(layer, index, owned)

    def layers_like(self, shapes: Sequence[Shape]) -> list[str]:
        return self.source.layers_like(shapes)

    def fill(self, layer: Layer, index: int, shape: Shape, role: str) -> tuple[torch.Tensor, str]:
        """What the filler makes, as `fillers.fill` does."""
        made, words = fill(layer, index, shape, role)
        self.known[layer.name, index] = made
        return made, words

    def blobs_of(self, layer: Layer, learnt: Sequence[LearntBlob]) -> tuple[torch.Tensor, ...]:
        """The data of a layer's learnt blobs, those that it shares included; () if one of them is unknown."""
        found = list[torch.Tensor]()
        for blob in learnt:
            try:  # one that the layer has passed over was not asked for yet
                data = self.blob(blob.owner, layer.type, blob.index, blob.shape)
            except MissingBlob:
                return ()
            if data is None:
                return ()
            found.append(data.reshape(blob.shape))
        return tuple(found)
