"""Decides for each layer of a net whether it may run in place, in inference and in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....compiler.errors import Loc
from ....compiler.types import TensorType
from .backward import needs
from .dataflow import BlobWrite, Dataflow, LayerNode

FILLED_ONCE = ("Input", "DummyData", "Parameter")  # their tops are filled once, or by the caller


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one layer is in place and may be.

    `now`: it is in place in the file. `inference` and `training`: why it must not be in place, or None. `nbytes`: size
    of its top in bytes, None if the shape is unknown. `saves`: bytes that running in place saves or would save in
    inference; training saves the same again for the gradients.
    """

    layer: str
    type: str
    loc: Loc
    now: bool
    inference: str | None
    training: str | None
    nbytes: int | None
    saves: int | None

    @property
    def is_wrong(self) -> bool:
        """True if the layer is in place in the file and gives wrong results in inference."""
        return self.now and self.inference is not None

    @property
    def summary(self) -> str:
        """The verdict in one clause, for a table."""
        if self.inference is not None:
            return self.inference
        if self.training is not None:
            return f"training: {self.training}"
        return "safe in place" + (", but Caffe keeps a copy of the bottom" if self.saves == 0 else "")


def verdicts(flow: Dataflow, types: Mapping[str, TensorType]) -> list[Verdict]:
    """A verdict for each layer with a bottom and a top. `types`: the types of blobs by name, as far as known."""
    found = []
    for layer in flow.layers:
        if layer.reads and layer.writes and not layer.is_measure:
            found.append(verdict(layer, types))
    return found


def verdict(layer: LayerNode, types: Mapping[str, TensorType]) -> Verdict:
    """The verdict on one layer with at least one bottom and one top."""
    inference = inference_conflict(layer, types)
    training = inference or training_conflict(layer)
    type = types.get(layer.writes[0].blob)
    nbytes = type.nbytes if type else None
    saves = 0 if inference is not None or needs(layer.message).copies_bottom else nbytes
    message = layer.message
    place = message.loc_of("top")
    return Verdict(layer.name, layer.type, place, layer.is_in_place, inference, training, nbytes, saves)


def inference_conflict(layer: LayerNode, types: Mapping[str, TensorType]) -> str | None:
    """Why the layer must not be in place in inference; None if it may."""
    reason = needs(layer.message).forward
    if reason is not None:
        return reason
    if len(layer.writes) > 1:
        return "it has several tops"
    bottom = layer.reads[0]
    types_here = types.get(bottom.blob), types.get(layer.writes[0].blob)
    if None not in types_here and types_here[0] != types_here[1]:
        return f"the shapes differ: {types_here[0]} becomes {types_here[1]}"
    return (
        other_reader_conflict(layer, bottom)
        or alias_conflict(layer, bottom)
        or input_conflict(bottom)
        or ("it reads the blob twice" if layer.reads.count(bottom) > 1 else None)
    )


def other_reader_conflict(layer: LayerNode, bottom: BlobWrite) -> str | None:
    """Why the bottom must not be overwritten: other layers read it. None if there are none."""
    others = [r for r in bottom.readers if r is not layer]
    if not others:
        return None
    listed = ", ".join(f'"{r.name}"' for r in others[:3]) + (", ..." if len(others) > 3 else "")
    return f'"{bottom.blob}" is read by {listed} too'


def alias_conflict(layer: LayerNode, bottom: BlobWrite, after: bool = True) -> str | None:
    """Why an alias of the bottom forbids it: another layer reads it (`after` this one), or the net returns it."""
    for way in aliases(layer, bottom):
        readers = [r for r in way.readers if r is not layer and r is not bottom.producer]
        if after:
            readers = [r for r in readers if r.number > layer.number]
        if readers or not way.readers:
            who = f'"{readers[0].name}" reads' if readers else "the net returns"
            return f'"{bottom.blob}" shares its memory with "{way.blob}", which {who}'
    return None


def aliases(layer: LayerNode, of: BlobWrite) -> list[BlobWrite]:
    """The last write of each other blob in the storage of `of` before the layer runs."""
    made = [w for w in of.storage.writes if w.producer is None or w.producer.number < layer.number]
    return list({w.blob: w for w in made if w.blob != of.blob}.values())


def input_conflict(bottom: BlobWrite) -> str | None:
    """Why an input must not be overwritten: pycaffe's users set its data once and run the net several times."""
    producer = bottom.producer
    if producer is None or producer.type in FILLED_ONCE:
        return f'"{bottom.blob}" is an input, which the next run reads again'
    return None


def training_conflict(layer: LayerNode) -> str | None:
    """Why the layer must not be in place in training, though it may be in inference; None if it may."""
    own = needs(layer.message)
    if own.backward is not None:
        return own.backward
    producer = layer.reads[0].producer
    if producer is None:
        return None
    theirs = needs(producer.message)
    if theirs.reads_top:
        return f"the Backward of {producer.label}, whose result is overwritten, reads it"
    if theirs.reads_sign and producer.is_in_place and not own.preserves_sign:
        return f"the Backward of {producer.label}, itself in place, reads the signs of the overwritten values"
    return alias_conflict(layer, layer.reads[0], after=False)
