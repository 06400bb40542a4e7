"""The layers of a live net, and the inputs and outputs that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..compiler.errors import CompileError
from ..compiler.suggestion import did_you_mean
from ..frontends.caffe.blob_graph import LearntBlob
from ..frontends.caffe.inputs import read_inputs
from ..frontends.files.message import Message
from .live_weights import Array, LiveWeights

Key = str | tuple[str | int, int]  # of a blob: its name; or a layer, by name or number, and the index of a top


class LayerOwner(Protocol):
    """What layers ask of their net, which is a LiveNet."""

    @property
    def weights(self) -> LiveWeights: ...
    def params_of(self, number: int) -> list[Array]: ...
    def learnt_of(self, number: int) -> tuple[LearntBlob, ...]: ...


@dataclass(frozen=True)
class LiveLayer:
    """A layer of the file: its number among those that the state selects, name, type, bottoms, tops and settings."""

    net: LayerOwner = field(repr=False)
    number: int
    message: Message = field(repr=False)

    @property
    def name(self) -> str:
        name: str = self.message["name"]
        return name

    @property
    def type(self) -> str:
        type: str = self.message["type"]
        return type

    @property
    def bottoms(self) -> tuple[str, ...]:
        bottoms: tuple[str, ...] = self.message["bottom"]
        return bottoms

    @property
    def tops(self) -> tuple[str, ...]:
        tops: tuple[str, ...] = self.message["top"]
        return tops

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """The weights of tops in the loss, as the file has them."""
        weights: tuple[float, ...] = self.message["loss_weight"]
        return weights

    @property
    def param_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the learnt blobs. Errors are those of `params`."""
        return [blob.shape for blob in self.net.learnt_of(self.number)]

    @property
    def params(self) -> list[Array]:
        """The learnt blobs, float32, of Caffe's shapes. What a program writes into them counts from the next run on.

        An array is the same one at each call, also where layers share it (`param { name }`). CompileError if the net
        cannot be built for the input shapes of the last run, or else of the file.
        """
        return self.net.params_of(self.number)

    def share_params(self, other: LiveLayer) -> None:
        """Use the learnt blobs of another net's layer, of the same shapes, from now on and whoever writes them."""
        pairs = zip(self.net.learnt_of(self.number), other.net.learnt_of(other.number), strict=True)
        for mine, theirs in pairs:
            array = other.net.weights.pin((theirs.owner, theirs.index))
            self.net.weights.pin((mine.owner, mine.index), array)


def find_inputs(net: Message, kept: Sequence[Message]) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """The inputs that layers and the file declare, and the shapes that the file gives them."""
    found = read_inputs(net, kept, {}, (), [])
    shapes = {given.name: given.type.shape for given in found.declared}
    shapeless = [name for name in found.broken if name not in shapes]
    named = read_inputs(net, kept, dict.fromkeys(shapeless, (1,)), (), [])
    return tuple(given.name for given in named.declared), shapes


def unread_blobs(inputs: Iterable[str], layers: Iterable[LiveLayer]) -> tuple[str, ...]:
    """The blobs that no layer reads after they were written last."""
    unread = dict.fromkeys(inputs, True)
    for layer in layers:
        unread.update(dict.fromkeys(layer.bottoms, False))
        unread.update(dict.fromkeys(layer.tops, True))
    return tuple(blob for blob, is_output in unread.items() if is_output)


def shared_owners(layers: Iterable[LiveLayer]) -> dict[str, tuple[str, int]]:
    """By the name of a shared blob (`param { name }`): the first layer that has it, and its index there."""
    found = dict[str, tuple[str, int]]()
    for layer in layers:
        for index, spec in enumerate(layer.message["param"]):
            found.setdefault(spec["name"], (layer.name, index))
    return found


def find_value(key: Key, inputs: Sequence[str], layers: Sequence[LiveLayer]) -> str:
    """The name that a blob graph gives the value of a key. CompileError if there is no such layer, top or blob."""
    if isinstance(key, str):
        blobs = dict.fromkeys([*inputs, *(top for layer in layers for top in layer.tops)])
        if key not in blobs:
            raise CompileError(f'the net has no blob "{key}"{did_you_mean(key, blobs)}')
        return f"={key}"
    layer, top = key
    numbers = {l.name: l.number for l in layers} | {l.number: l.number for l in layers}
    if layer not in numbers:
        known = [l.name for l in layers]
        raise CompileError(f'the net has no layer "{layer}"{did_you_mean(str(layer), known)}')
    if not 0 <= top < len(layers[numbers[layer]].tops):
        raise CompileError(f'layer "{layers[numbers[layer]].name}" has no top {top}')
    return f"{numbers[layer]}:{top}"
