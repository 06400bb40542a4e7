"""Layers in Python, as cv2.dnn_registerLayer registers them: classes with getMemoryShapes and forward.

    class CropLayer:
        def __init__(self, params, blobs): ...
        def getMemoryShapes(self, inputs): ...      # shapes of the bottoms -> shapes of the tops
        def forward(self, inputs): ...              # arrays of the bottoms -> arrays of the tops

As in OpenCV, a class that is registered computes the layers of its type in all nets that run afterwards, also where
there is a layer of that type already.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from threading import RLock
from typing import Any

import numpy as np
import torch

from ...compiler.float32 import shortest_decimal
from ...frontends.caffe.layer import LAYERS, MANY
from ...frontends.caffe.message_builder import replace_fields
from ...frontends.caffe.register import register_layer, unregister_layer
from ...frontends.caffe.upgrade import upgrade_net
from ...frontends.files.message import Message
from ...frontends.files.textformat import FieldSyntax, MessageBlock, Scalar
from ..live_weights import LiveWeights

CLASSES: dict[str, list[type]] = {}  # by layer type, the latest last
SERIAL = count(1)
KEPT = ("name", "bottom", "top", "include", "exclude")


def register(type: str, layer_class: type) -> None:
    """Register a class for a layer type, as cv2.dnn_registerLayer does."""
    if type in LAYERS and type not in CLASSES:
        sentence = f"{type} is a layer that cortado computes itself; as in OpenCV, {layer_class.__name__} does it now"
        warnings.warn(sentence, stacklevel=3)
    CLASSES.setdefault(type, []).append(layer_class)


def unregister(type: str) -> None:
    """Take back the latest class that was registered for a layer type, if there is one."""
    if type in CLASSES:
        CLASSES[type].pop()
        if not CLASSES[type]:
            del CLASSES[type]


class CustomLayer:
    """An instance of a registered class for one layer of a net; its calls are one after the other."""

    def __init__(self, layer_class: Any, params: Mapping[str, Any], blobs: Sequence[Any]) -> None:
        self.instance = layer_class(dict(params), tuple(blobs))
        self.lock = RLock()
        self.shapes: tuple[tuple[int, ...], ...] | None = None  # that the instance was last prepared for

    def infer_shapes(self, settings: Mapping[str, Any], *shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
        with self.lock:
            self.shapes = shapes
            return [tuple(int(d) for d in shape) for shape in self.instance.getMemoryShapes(list(shapes))]

    def run(self, settings: Mapping[str, Any], *bottoms: torch.Tensor) -> list[torch.Tensor]:
        with self.lock:
            shapes = tuple(tuple(x.shape) for x in bottoms)
            if shapes != self.shapes:
                self.infer_shapes(settings, *shapes)
            made = self.instance.forward([x.numpy() for x in bottoms])
            return [torch.from_numpy(np.array(x, np.float32)) for x in made]


def substitute(message: Message, weights: LiveWeights, owner: object) -> Message:
    """The net with the layers of registered types as layers of cortado, for as long as `owner` lives."""
    upgraded = upgrade_net(message, [])
    layers: tuple[Message, ...] = upgraded["layer"]
    if not any(layer["type"] in CLASSES for layer in layers):
        return message
    made = [substitute_layer(layer, weights, owner) if layer["type"] in CLASSES else layer for layer in layers]
    return replace_fields(upgraded, layer=tuple(made))


def substitute_layer(layer: Message, weights: LiveWeights, owner: object) -> Message:
    """One layer as a registered layer of cortado."""
    type, name = f"{layer['type']}#{next(SERIAL)}", layer["name"]
    stored = weights.stored_blobs(name)
    custom = CustomLayer(CLASSES[layer["type"]][-1], read_params(layer), stored)
    register_layer(type, custom.run, shapes=custom.infer_shapes, bottoms=(0, MANY), tops=(1, MANY))
    weakref.finalize(owner, unregister_layer, type)
    dropped: dict[str, tuple[str, ...]] = {field: () for field in layer.written if field not in KEPT}
    made = replace_fields(layer, **dropped | {"type": (type,)})
    return replace(made, unknown=())


def read_params(layer: Message) -> dict[str, Any]:
    """The settings of a layer as OpenCV flattens them: those of all messages called *_param, by name alone.

    Numbers are int or float, also booleans; enums and strings are str; what is repeated and not one is a tuple.
    """
    found = dict[str, Any]()
    for field in layer.written:
        if field.endswith("_param"):
            for inner in layer.submessages(field):
                found.update(flatten(inner))
    for unknown in layer.unknown:
        if unknown.name.endswith("_param"):
            found.update(flatten_syntax(unknown.field))
    return dict(sorted(found.items()))


def flatten(message: Message) -> dict[str, Any]:
    """The fields that a message sets, and those of the messages in it."""
    found = dict[str, Any]()
    for name in message.written:
        if inner := message.submessages(name):
            for each in inner:
                found.update(flatten(each))
            continue
        values = tuple(map(plain, message.values[name]))
        is_list = message.field_types[name].repeated and len(values) > 1
        found[name] = values if is_list else values[0]
    for unknown in message.unknown:
        found.update(flatten_syntax(unknown.field))
    return found


def flatten_syntax(field: FieldSyntax) -> dict[str, Any]:
    """A field that the schema lacks: its numbers and strings by name, and those in its blocks."""
    found = dict[str, Any]()
    for value in field.values:
        if isinstance(value, MessageBlock):
            for inner in value.fields:
                for name, each in flatten_syntax(inner).items():
                    found[name] = (*as_tuple(found[name]), each) if name in found else each
        else:
            made = scalar(value)
            found[field.name] = (*as_tuple(found[field.name]), made) if field.name in found else made
    return found


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def plain(value: Any) -> Any:
    """A value of a message as Python has it."""
    if isinstance(value, bool):
        return int(value)
    return shortest_decimal(value) if isinstance(value, float) else value


def scalar(value: Scalar) -> Any:
    """A value whose type no schema tells: an int or float if it can be one, a word or a string otherwise."""
    text = value.text
    if value.token_type == "string":
        return text
    if text in ("true", "false"):
        return int(text == "true")
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
