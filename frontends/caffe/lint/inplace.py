"""For each layer of a net: may it write its result over its bottom, when the net answers and when it is trained?"""

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
    """What there is to say of one layer.

    `now`: the file has it in place. `inference` and `training`: why it must not be, None where it may be. `nbytes` are
    those of its top (None: the shape is not known); `saves` those that it would save, or saves, in place: one array
    when the net answers. In training it is two, the gradients' too, if it may be in place there.
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
        """The file has it in place, and its numbers suffer when the net answers."""
        return self.now and self.inference is not None

    @property
    def summary(self) -> str:
        """One sentence for a table."""
        if self.inference is not None:
            return self.inference
        if self.training is not None:
            return f"training: {self.training}"
        return "safe in place" + (", but Caffe keeps a copy of the bottom" if self.saves == 0 else "")


def verdicts(flow: Dataflow, types: Mapping[str, TensorType]) -> list[Verdict]:
    """For each layer that has a bottom and a top. `types` are those of the blobs, as far as they are known."""
    found = []
    for layer in flow.layers:
        if layer.reads and layer.writes and not layer.is_measure:
            found.append(verdict(layer, types))
    return found


def verdict(layer: LayerNode, types: Mapping[str, TensorType]) -> Verdict:
    inference = inference_conflict(layer, types)
    training = inference or training_conflict(layer)
    type = types.get(layer.writes[0].blob)
    nbytes = type.nbytes if type else None
    saves = 0 if inference is not None or needs(layer.message).copies_bottom else nbytes
    message = layer.message
    place = message.loc_of("top")
    return Verdict(layer.name, layer.type, place, layer.is_in_place, inference, training, nbytes, saves)


def inference_conflict(layer: LayerNode, types: Mapping[str, TensorType]) -> str | None:
    """Why the layer must not be in place when the net answers."""
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
    others = [r for r in bottom.readers if r is not layer]
    if not others:
        return None
    listed = ", ".join(f'"{r.name}"' for r in others[:3]) + (", ..." if len(others) > 3 else "")
    return f'"{bottom.blob}" is read by {listed} too'


def alias_conflict(layer: LayerNode, bottom: BlobWrite, after: bool = True) -> str | None:
    """Whether another name of the bottom's memory is read by somebody else, `after` this layer, or is an answer."""
    for way in aliases(layer, bottom):
        readers = [r for r in way.readers if r is not layer and r is not bottom.producer]
        if after:
            readers = [r for r in readers if r.number > layer.number]
        if readers or not way.readers:
            who = f'"{readers[0].name}" reads' if readers else "the net returns"
            return f'"{bottom.blob}" shares its memory with "{way.blob}", which {who}'
    return None


def aliases(layer: LayerNode, of: BlobWrite) -> list[BlobWrite]:
    """What stands in the memory of `of` under its other names when the layer begins."""
    made = [w for w in of.storage.writes if w.producer is None or w.producer.number < layer.number]
    return list({w.blob: w for w in made if w.blob != of.blob}.values())


def input_conflict(bottom: BlobWrite) -> str | None:
    """An input is written once and may be used again: pycaffe's users set data once and run the net twice."""
    maker = bottom.producer
    if maker is None or maker.type in FILLED_ONCE:
        return f'"{bottom.blob}" is an input, and stands for the next run too'
    return None


def training_conflict(layer: LayerNode) -> str | None:
    """Why the layer must not be in place while the net is trained, though it may be when it answers."""
    own = needs(layer.message)
    if own.backward is not None:
        return own.backward
    maker = layer.reads[0].producer
    if maker is None:
        return None
    theirs = needs(maker.message)
    if theirs.reads_top:
        return f"the Backward of {maker.label}, whose result is overwritten, reads it"
    if theirs.reads_sign and maker.is_in_place and not own.preserves_sign:
        return f"the Backward of {maker.label}, itself in place, asks for the signs that stood there"
    return alias_conflict(layer, layer.reads[0], after=False)
