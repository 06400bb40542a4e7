"""Def-use chains of a net's layers: which write of a blob each layer reads, and which blobs share storage.

It uses bottoms and tops only, so it also works for nets with unknown layer types or shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...files.message import Message
from ..rules import State, select_layers
from ..upgrade import upgrade_net

SHARING_TYPES = ("Split", "Flatten", "Reshape")  # types whose tops alias the bottom (ShareData)
MEASURE_WORDS = ("Loss", "Accuracy", "HDF5Output")  # parts of the names of types that a training net is evaluated by


@dataclass(eq=False)
class SharedStorage:
    """Storage that blobs share, and all writes to it in order, under any name."""

    writes: list[BlobWrite] = field(default_factory=list)


@dataclass(eq=False)
class BlobWrite:
    """One write of a blob. `producer`: the layer, None for an input; `overwrites`: the write it replaces in place."""

    blob: str
    producer: LayerNode | None
    storage: SharedStorage
    overwrites: BlobWrite | None = None
    readers: list[LayerNode] = field(default_factory=list)
    overwritten: LayerNode | None = None

    def __post_init__(self) -> None:
        self.storage.writes.append(self)


@dataclass(eq=False)
class LayerNode:
    """A layer, its index in the net's order, and the blob writes that it reads and makes."""

    message: Message
    number: int
    reads: list[BlobWrite] = field(default_factory=list)
    writes: list[BlobWrite] = field(default_factory=list)

    @property
    def name(self) -> str:
        name: str = self.message["name"]
        return name

    @property
    def type(self) -> str:
        type: str = self.message["type"]
        return type

    @property
    def label(self) -> str:
        return f'layer "{self.name}" ({self.type})'

    @property
    def is_in_place(self) -> bool:
        """True if a top overwrites a bottom of the same name."""
        return any(w.overwrites is not None and w.overwrites in self.reads for w in self.writes)

    @property
    def is_measure(self) -> bool:
        """True if the layer is a result of a training net: a loss, an accuracy, or an output file."""
        return any(word in self.type for word in MEASURE_WORDS) and bool(self.reads)


@dataclass
class Dataflow:
    """The layers of a state in order, the inputs that no layer makes, and the last write of each blob by name.

    `written` is the message of the file, `net` the same in the current format, `phase` TEST or TRAIN.
    """

    written: Message
    net: Message
    phase: str
    layers: list[LayerNode] = field(default_factory=list)
    inputs: list[BlobWrite] = field(default_factory=list)
    last: dict[str, BlobWrite] = field(default_factory=dict)


def trace_dataflow(net: Message, state: State) -> Dataflow:
    """Trace the dataflow of a net in any format generation. CompileError if it mixes two of them."""
    made = Dataflow(net, upgrade_net(net, []), state.phase)
    net = made.net

    def current(blob: str) -> BlobWrite:
        if blob not in made.last:
            made.last[blob] = BlobWrite(blob, None, SharedStorage())
            made.inputs.append(made.last[blob])
        return made.last[blob]

    for name in net["input"]:
        current(name)
    for message in select_layers(net["layer"], state.with_file_stages(net), []):
        layer = LayerNode(message, len(made.layers))
        layer.reads = [current(name) for name in message["bottom"]]
        for writing in layer.reads:
            if layer not in writing.readers:
                writing.readers.append(layer)
        for i, name in enumerate(message["top"]):
            layer.writes.append(make_write(layer, i, name, made.last.get(name)))
        made.last.update((w.blob, w) for w in layer.writes)
        made.layers.append(layer)
    return made


def make_write(layer: LayerNode, i: int, name: str, before: BlobWrite | None) -> BlobWrite:
    """The write of top `i`: in place, into storage shared with a bottom, or into new storage."""
    over = before if before is not None and before in layer.reads else None
    if over is not None:
        over.overwritten = layer
        return BlobWrite(name, layer, over.storage, over)
    if layer.type in SHARING_TYPES and layer.reads:
        return BlobWrite(name, layer, layer.reads[0].storage)
    return BlobWrite(name, layer, SharedStorage())
