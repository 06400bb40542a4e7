"""A net that was read with a fork's caffe.proto, in Caffe's own fields: what the fork takes as given is written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...frontends.caffe.net_layers import NetLayers
from ...frontends.files.message import Message
from ...frontends.files.schema import CAFFE, FieldType


def to_caffe_fields(net: NetLayers) -> NetLayers:
    """The net in Caffe's fields. Those that Caffe lacks go: they have no effect, or the net would have been refused."""
    if net.message.schema is CAFFE:
        return net
    layers = tuple(replace(layer, message=in_caffe_fields(layer.message)) for layer in net.layers)
    own = in_caffe_fields(net.message)
    return replace(net, message=own.rebuilt({**own.values, "layer": tuple(l.message for l in layers)}), layers=layers)


def in_caffe_fields(message: Message) -> Message:
    """A message with the fields of Caffe's schema alone.

    Of a layer, settings that it read and the file does not give are added if they have other defaults than Caffe's.
    """
    known = CAFFE.field_types(message.type)
    values = {
        name: found for name, kept in message.values.items() if (found := tuple(kept_values(message, name, kept)))
    }
    for name, kind in known.items():
        if kind.message and name not in values and message.type == "LayerParameter" and message.was_read(name):
            inner = in_caffe_fields(message.empty(kind.message))
            values |= {name: (inner,)} if inner.values else {}
    return message.rebuilt(values, CAFFE)


def kept_values(message: Message, name: str, values: tuple[Any, ...]) -> Iterator[Any]:
    """The values of a field that Caffe has, too, and in the same sense."""
    known: FieldType | None = CAFFE.field_types(message.type).get(name)
    if known is None or (message.field_types[name].conflict and not message.field_types[name].is_list):
        return
    for value in values:
        if isinstance(value, Message):
            yield in_caffe_fields(value)
        elif known.type != "enum" or value in known.numbers:
            yield value
