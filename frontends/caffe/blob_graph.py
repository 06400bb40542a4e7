"""The graph of all blobs: what every layer makes, for programs that read blobs between layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...compiler.ir import Graph
from ...compiler.types import Dim
from ..files.message import Message
from .dialects import Dialects
from .fillers import Filler
from .importer import Warn
from .layer import Layer
from .net import import_layers
from .parameters import Parameters
from .rules import State
from .weights import WeightSource


@dataclass(frozen=True, slots=True)
class LearntBlob:
    """A learnt blob of a layer: its shape, and the layer and the index in whose place it is stored.

    These are the layer's own, unless another layer shares it by `param { name }`.
    """

    owner: str
    index: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class BlobGraph:
    """A net that returns what every layer makes.

    `graph` returns `N:I`, what top `I` of layer `N` is right behind that layer, and `=BLOB`, what a blob is at the end:
    later layers may have written it in place. `N` counts the layers of the file that `state` selects. `outputs` are the
    blobs that no layer reads, `learnt` the learnt blobs by layer number.
    """

    graph: Graph
    outputs: tuple[str, ...]
    learnt: Mapping[int, tuple[LearntBlob, ...]]


def build_blob_graph(
    message: Message,
    kept: Sequence[Message],
    weights: WeightSource,
    *,
    state: State,
    shapes: Mapping[str, Sequence[Dim]],
    dialects: Dialects,
    filler: Filler,
    warn: Warn,
) -> BlobGraph:
    """Build the graph of a NetParameter. `kept` are its layers in `state`, upgraded to today's format.

    Arguments and errors are those of `build_graph`.
    """
    importer, found = import_layers(message, weights, state, shapes, (), False, dialects, filler, warn)
    number = {layer.loc: i for i, layer in enumerate(kept)}
    inputs = {value.name: value for value in importer.inputs}
    returns = {f"{i}:{j}": inputs[top] for i, layer in enumerate(kept) if not layer["bottom"]
               for j, top in enumerate(layer["top"]) if top in inputs}  # fmt: skip
    for layer, values in importer.made:
        at, tops = number[layer.message.loc], kept[number[layer.message.loc]]["top"]
        returns.update((f"{at}:{tops.index(top)}", v) for top, v in zip(layer.tops, values, strict=True))
    returns.update((f"={name}", importer.read(blob, message)) for name, blob in importer.blobs.items())
    learnt = {number[layer.message.loc]: learnt_blobs(layer, importer.parameters) for layer, _ in importer.made}
    return BlobGraph(importer.finish([*returns.items()]), tuple(name for name, _ in found), learnt)


def learnt_blobs(layer: Layer, parameters: Parameters) -> tuple[LearntBlob, ...]:
    """The learnt blobs that a layer has asked for."""
    found = []
    for index, shape in enumerate(layer.shapes):
        spec = layer.message["param"][index : index + 1]
        owner, at, _ = parameters.shared.get(spec[0]["name"] if spec else "", (layer, index, None))
        found.append(LearntBlob(owner.name, at, shape))
    return tuple(found)
