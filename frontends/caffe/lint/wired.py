"""A file's layers as they are wired: which writing of a blob each one reads, and whose memory it shares.

Told from bottoms and tops alone, so that a net can be looked at whose layers or shapes are not all understood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...files.message import Message
from ..rules import State, included
from ..upgrade import upgraded

SHARING = ("Split", "Flatten", "Reshape")  # Caffe: the tops are the bottom's memory (ShareData)
MEASURES = ("Loss", "Accuracy", "HDF5Output")  # in a type's name: what a net for training is there for


@dataclass(eq=False)
class Memory:
    """A piece of Caffe's memory, and everything that is written to it, under whatever names."""

    writings: list[Writing] = field(default_factory=list)


@dataclass(eq=False)
class Writing:
    """What one layer leaves in a blob; `maker` is None of an input. `over` is what stood there before, in place."""

    blob: str
    maker: Wired | None
    memory: Memory
    over: Writing | None = None
    readers: list[Wired] = field(default_factory=list)
    overwritten: Wired | None = None

    def __post_init__(self) -> None:
        self.memory.writings.append(self)


@dataclass(eq=False)
class Wired:
    """A layer, its number in the order of the net, what it reads and what it writes."""

    message: Message
    number: int
    reads: list[Writing] = field(default_factory=list)
    writes: list[Writing] = field(default_factory=list)

    @property
    def name(self) -> str:
        name: str = self.message["name"]
        return name

    @property
    def type(self) -> str:
        type: str = self.message["type"]
        return type

    @property
    def said(self) -> str:
        return f'layer "{self.name}" ({self.type})'

    @property
    def in_place(self) -> bool:
        """True if a top is written over a bottom of the same name."""
        return any(w.over is not None and w.over in self.reads for w in self.writes)

    @property
    def measures(self) -> bool:
        """True if a net for training is run for this layer's sake: a loss, a share of hits, a file that is written."""
        return any(word in self.type for word in MEASURES) and bool(self.reads)


@dataclass
class Wiring:
    """All layers of a state in order, the inputs at the head of the file, and what each blob holds at the end.

    `written` is the file as it is, `net` the same in the current generation's form, `phase` TEST or TRAIN.
    """

    written: Message
    net: Message
    phase: str
    layers: list[Wired] = field(default_factory=list)
    inputs: list[Writing] = field(default_factory=list)
    last: dict[str, Writing] = field(default_factory=dict)


def wired(net: Message, state: State) -> Wiring:
    """The wiring of a net in any generation's form. CompileError if it mixes two of them."""
    made = Wiring(net, upgraded(net, []), state.phase)
    net = made.net

    def current(blob: str) -> Writing:
        if blob not in made.last:
            made.last[blob] = Writing(blob, None, Memory())
            made.inputs.append(made.last[blob])
        return made.last[blob]

    for name in net["input"]:
        current(name)
    for message in included(net["layer"], state.of_file(net), []):
        layer = Wired(message, len(made.layers))
        layer.reads = [current(name) for name in message["bottom"]]
        for writing in layer.reads:
            if layer not in writing.readers:
                writing.readers.append(layer)
        for i, name in enumerate(message["top"]):
            layer.writes.append(writing_of(layer, i, name, made.last.get(name)))
        made.last.update((w.blob, w) for w in layer.writes)
        made.layers.append(layer)
    return made


def writing_of(layer: Wired, i: int, name: str, before: Writing | None) -> Writing:
    over = before if before is not None and before in layer.reads else None
    if over is not None:
        over.overwritten = layer
        return Writing(name, layer, over.memory, over)
    if layer.type in SHARING and layer.reads:
        return Writing(name, layer, layer.reads[0].memory)
    return Writing(name, layer, Memory())
