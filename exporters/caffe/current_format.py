"""A net's layers as a file of Caffe's current format, with what it leaves out noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...compiler.errors import CompileError, Loc
from ...compiler.types import TensorType
from ...frontends.caffe.dialects import ChosenDialect
from ...frontends.caffe.layer_types import LAYERS
from ...frontends.caffe.net_layers import NetLayer, NetLayers
from ...frontends.caffe.unused_fields import PRECISION, has_no_effect
from ...frontends.files.message import Message
from ...frontends.files.protobuf import field_number
from ...frontends.files.prototxt_writer import show_message
from ...frontends.files.scalars import FORKS_NUMBERS
from ...version import VERSION

LEFT_OUT = ("layers", "state", "input", "input_dim", "input_shape")  # of the net: said by its layers
SELECTED = ("include", "exclude", "blobs")  # what a layer no longer has: its rules are met, its blobs are apart


@dataclass(frozen=True, eq=False)
class FileLayer:
    """A layer of a file to be written: its message, and its blobs, f32, in Caffe's shapes."""

    message: Message
    blobs: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class CaffeFile:
    """A net to be written: the fields of the net itself, the layers, and notes on what is expressed otherwise."""

    settings: Message
    layers: tuple[FileLayer, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        found: str = self.settings["name"]
        return found

    def text(self) -> str:
        """The prototxt."""
        whole = {**self.settings.values, "layer": tuple(layer.message for layer in self.layers)}
        message = Message("NetParameter", self.settings.loc, "", whole, schema=self.settings.schema)
        return f"# written by cortado {VERSION}\n{show_message(message)}"


def clean(net: NetLayers) -> tuple[NetLayers, tuple[str, ...]]:
    """The net without rules, blobs in the text, and fields without effect that BVLC's Caffe lacks; and notes on it."""
    kept = [layer if layer.inputs else replace(layer, message=clean_layer(layer.message)) for layer in net.layers]
    own = {name: values for name, values in net.message.values.items() if name not in ("layer", *LEFT_OUT)}
    whole = replace_values(net.message, {**clean_fields(net.message, own), "layer": tuple(l.message for l in kept)})
    written = [part for layer in net.layers if not layer.inputs for part in layer.message.walk()]
    unknown = dict.fromkeys((u.message, u.name) for part in (net.message, *written) for u in part.unknown)
    notes = [f"{name} of {type} is left out: Caffe has no such field" for type, name in unknown]
    return replace(net, message=whole, layers=tuple(kept)), tuple(notes)


def to_current_format(net: NetLayers, dialects: Sequence[ChosenDialect]) -> CaffeFile:
    """The file of a net that is clean. Inputs are Input layers, unless a dialect is of a Caffe that has none yet.

    CompileError if no layer is left.
    """
    lacks_input = any("Input" in LAYERS[d.type].dialects[d.dialect].lacks for d in dialects)
    settings = {name: values for name, values in net.message.values.items() if name != "layer"}
    layers, notes = list[FileLayer](), list[str]()
    if lacks_input:
        settings |= legacy_inputs(net.inputs)
    else:
        names = {layer.message["name"] for layer in net.layers}
        layers += [FileLayer(input_layer(free_name(blob, names), [(blob, type)])) for blob, type in net.inputs]
    for layer in net.layers:
        layers.append(FileLayer(written_input(layer) if layer.inputs else layer.message, layer.blobs))
        if layer.inputs and "transform_param" in layer.message:
            sentence = "what its transform_param does to pictures is up to the program that runs the net"
            notes.append(f'layer "{layer.message["name"]}" ({layer.message["type"]}) is an Input: {sentence}')
    if not layers:
        raise CompileError(f"{net.graph.name}: there is no layer to write: nobody reads what its data layers make")
    return CaffeFile(make("NetParameter", settings), tuple(layers), tuple(notes))


def make(type: str, values: Mapping[str, Any]) -> Message:
    """A message that comes from no text, with these fields; each is a tuple of values."""
    return Message(type, Loc("", 1, 1), "", dict(values))


def input_layer(name: str, inputs: Sequence[tuple[str, TensorType]]) -> Message:
    """An Input layer with a shape for each top."""
    shapes = tuple(make("BlobShape", {"dim": type.shape}) for _, type in inputs)
    tops = tuple(blob for blob, _ in inputs)
    return make(
        "LayerParameter",
        {"name": (name,), "type": ("Input",), "top": tops, "input_param": (make("InputParameter", {"shape": shapes}),)},
    )


def legacy_inputs(inputs: Sequence[tuple[str, TensorType]]) -> dict[str, Any]:
    """The fields `input` and `input_dim` or, where one has other than four sizes, `input_shape`."""
    fields: dict[str, Any] = {"input": tuple(blob for blob, _ in inputs)}
    if all(type.rank == 4 for _, type in inputs):
        return fields | {"input_dim": tuple(size for _, type in inputs for size in type.shape)}
    return fields | {"input_shape": tuple(make("BlobShape", {"dim": type.shape}) for _, type in inputs)}


def written_input(layer: NetLayer) -> Message:
    """The Input layer of a net's input layer or data layer: as it is, if its shapes are those of the net."""
    message = layer.message
    stated = [tuple(shape["dim"]) for shape in message["input_param"]["shape"]]
    shapes = [type.shape for _, type in layer.inputs]
    if message["type"] == "Input" and stated in (shapes, shapes[:1] if len(set(shapes)) == 1 else shapes):
        return clean_layer(message)
    return input_layer(message["name"], layer.inputs)


def free_name(wanted: str, taken: set[str]) -> str:
    """A name that no layer has yet, and now has."""
    name, i = wanted, 2
    while name in taken:
        name, i = f"{wanted}.{i}", i + 1
    taken.add(name)
    return name


def clean_layer(layer: Message) -> Message:
    """A layer without its rules, and without fields of forks that have no effect; at its place in the text."""
    own = {name: values for name, values in layer.values.items() if name not in SELECTED}
    return replace_values(layer, clean_fields(layer, own))


def replace_values(message: Message, values: Mapping[str, Any]) -> Message:
    """A message with other fields, at the same place in the text."""
    places = {name: found for name, found in message.places.items() if name in values}
    return Message(message.type, message.loc, message.text, dict(values), places, schema=message.schema)


def clean_fields(message: Message, values: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Of these fields of a message of Caffe's own, all but those of forks that have no effect and no layer reads."""
    kept = dict[str, tuple[Any, ...]]()
    for name, found in values.items():
        is_forks = field_number(message, name) >= FORKS_NUMBERS
        if is_forks and not message.was_read(name) and (name in PRECISION or has_no_effect(message, name)):
            continue
        inner = () if is_forks else message.submessages(name)
        kept[name] = tuple(replace_values(m, clean_fields(m, m.values)) for m in inner) if inner else found
    return kept
