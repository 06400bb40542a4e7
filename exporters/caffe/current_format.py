"""A net's layers as a file of Caffe's current format, with what it leaves out noted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...compiler.errors import Loc
from ...compiler.types import TensorType
from ...frontends.caffe.dialects import ChosenDialect
from ...frontends.caffe.layer_types import LAYERS
from ...frontends.caffe.net_layers import NetLayer, NetLayers
from ...frontends.caffe.unused_fields import PRECISION, has_no_effect
from ...frontends.files.message import Message
from ...frontends.files.prototxt_writer import show_message
from ...frontends.files.scalars import FORKS_NUMBERS
from ...frontends.files.schema import descriptor
from ...version import VERSION

INPUT_FIELDS = ("input", "input_dim", "input_shape")
SELECTED = ("include", "exclude", "blobs")  # what a layer no longer has: its rules are met, its blobs are apart


@dataclass(frozen=True, eq=False)
class WrittenLayer:
    """A layer as it is written: its message, and its blobs, f32, in Caffe's shapes."""

    message: Message
    blobs: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class CaffeFile:
    """A net to be written: the fields of the net itself, the layers, and notes on what is expressed otherwise."""

    settings: Message
    layers: tuple[WrittenLayer, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        found: str = self.settings["name"]
        return found

    def text(self) -> str:
        """The prototxt."""
        whole = {**self.settings.values, "layer": tuple(layer.message for layer in self.layers)}
        message = Message("NetParameter", self.settings.loc, "", whole)
        return f"# written by cortado {VERSION}\n{show_message(message)}"


def to_current_format(net: NetLayers, dialects: Sequence[ChosenDialect]) -> CaffeFile:
    """The file of a net. Inputs are Input layers, unless a dialect is of a Caffe that has none yet."""
    lacks_input = any("Input" in LAYERS[d.type].dialects[d.dialect].lacks for d in dialects)
    left_out = ("layer", "layers", "state", *INPUT_FIELDS)
    settings = {name: values for name, values in net.message.values.items() if name not in left_out}
    layers, notes = list[WrittenLayer](), list[str]()
    if lacks_input:
        settings |= legacy_inputs(net.inputs)
    else:
        names = {layer.message["name"] for layer in net.layers}
        layers += [WrittenLayer(input_layer(free_name(blob, names), [(blob, type)])) for blob, type in net.inputs]
    for layer in net.layers:
        if not layer.inputs:
            layers.append(WrittenLayer(clean_layer(layer.message), layer.blobs))
            continue
        layers.append(WrittenLayer(written_input(layer)))
        if "transform_param" in layer.message:
            sentence = "what its transform_param does to pictures is up to the program that runs the net"
            notes.append(f'layer "{layer.message["name"]}" ({layer.message["type"]}) is an Input: {sentence}')
    messages = [net.message, *(layer.message for layer in net.layers)]
    notes += [f"{name} of {type} is left out: Caffe has no such field" for type, name in unknown_fields(messages)]
    return CaffeFile(make("NetParameter", clean_fields(make("NetParameter", settings))), tuple(layers), tuple(notes))


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
    """A layer without its rules, and without fields of forks that have no effect."""
    fields = clean_fields(layer)
    return make(layer.type, {name: values for name, values in fields.items() if name not in SELECTED})


def clean_fields(message: Message) -> dict[str, tuple[Any, ...]]:
    """The fields of a message of Caffe's own, without those of forks that have no effect and that no layer reads."""
    known, kept = descriptor(message.type).fields_by_name, dict[str, tuple[Any, ...]]()
    for name, values in message.values.items():
        is_forks = known[name].number >= FORKS_NUMBERS
        if is_forks and not message.was_read(name) and (name in PRECISION or has_no_effect(message, name)):
            continue
        inner = not is_forks and message.submessages(name)
        kept[name] = tuple(make(m.type, clean_fields(m)) for m in inner) if inner else values
    return kept


def unknown_fields(messages: Iterable[Message]) -> list[tuple[str, str]]:
    """The message type and the name of each field that the schema lacks."""
    found = [(u.message, u.name) for whole in messages for message in whole.walk() for u in message.unknown]
    return [*dict.fromkeys(found)]
