"""A file's layers as they are wired: which writing of a blob each one reads, and whose memory it shares.

Told from bottoms and tops alone, so that a net can be looked at whose layers or shapes are not all understood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...files.message import Message
from ..rules import State, select_layers
from ..upgrade import upgrade_net

SHARING_TYPES = ("Split", "Flatten", "Reshape")  # Caffe: the tops are the bottom's memory (ShareData)
MEASURE_WORDS = ("Loss", "Accuracy", "HDF5Output")  # in a type's name: what a net for training is there for


@dataclass(eq=False)
class SharedStorage:
    """A piece of Caffe's memory, and everything that is written to it, under whatever names."""

    writes: list[BlobWrite] = field(default_factory=list)


@dataclass(eq=False)
class BlobWrite:
    """What one layer leaves in a blob; `maker` is None of an input. `over` is what stood there before, in place."""

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
    """A layer, its number in the order of the net, what it reads and what it writes."""

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
        """True if a top is written over a bottom of the same name."""
        return any(w.overwrites is not None and w.overwrites in self.reads for w in self.writes)

    @property
    def is_measure(self) -> bool:
        """True if a net for training is run for this layer's sake: a loss, a share of hits, a file that is written."""
        return any(word in self.type for word in MEASURE_WORDS) and bool(self.reads)


@dataclass
class Dataflow:
    """All layers of a state in order, the inputs at the head of the file, and what each blob holds at the end.

    `written` is the file as it is, `net` the same in the current generation's form, `phase` TEST or TRAIN.
    """

    written: Message
    net: Message
    phase: str
    layers: list[LayerNode] = field(default_factory=list)
    inputs: list[BlobWrite] = field(default_factory=list)
    last: dict[str, BlobWrite] = field(default_factory=dict)


def trace_dataflow(net: Message, state: State) -> Dataflow:
    """The flow of a net in any generation's form. CompileError if it mixes two of them."""
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
    over = before if before is not None and before in layer.reads else None
    if over is not None:
        over.overwritten = layer
        return BlobWrite(name, layer, over.storage, over)
    if layer.type in SHARING_TYPES and layer.reads:
        return BlobWrite(name, layer, layer.reads[0].storage)
    return BlobWrite(name, layer, SharedStorage())
