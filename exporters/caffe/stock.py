"""What BVLC's Caffe does not know: layer types, fields and values of forks, for notes to the user."""

from __future__ import annotations

from collections.abc import Iterator

from ...frontends.files.generations import V1_TYPES
from ...frontends.files.message import Message
from ...frontends.files.protobuf import field_number
from ...frontends.files.scalars import FORKS_NUMBERS
from .current_format import CaffeFile

STOCK_TYPES = {  # those of 2014, and those that came later (BVLC/caffe, src/caffe/layers, master)
    *V1_TYPES.values(), "BatchNorm", "BatchReindex", "Bias", "Clip", "Crop", "ELU", "Embed", "Filter", "Input", "LSTM",
    "LSTMUnit", "Log", "PReLU", "Parameter", "Python", "RNN", "Reduction", "Reshape", "SPP", "Scale", "Swish", "Tile",
}  # fmt: skip
SSD_NUMBERS = range(200, 208)  # of the SSD fork's settings in LayerParameter
MOST_NAMES = 5  # of layers, that a note lists


def describe_foreign(made: CaffeFile) -> list[str]:
    """A note for each layer type, field or value in the file that BVLC's Caffe lacks, with the layers that have it."""
    found: dict[str, list[str]] = {}
    for layer in made.layers:
        name, type = layer.message["name"], layer.message["type"]
        if type not in STOCK_TYPES:
            found.setdefault(f"layer type {type}", []).append(name)
            continue  # nor its settings
        for what in dict.fromkeys(foreign_fields(layer.message)):
            found.setdefault(what, []).append(name)
    return [f"BVLC's Caffe has no {what}: {list_names(names)}" for what, names in found.items()]


def foreign_fields(message: Message) -> Iterator[str]:
    """The fields, and values of enums, that are a fork's."""
    known = message.field_types
    for name, values in message.values.items():
        number = field_number(message, name)
        if number >= FORKS_NUMBERS or (message.type == "LayerParameter" and number in SSD_NUMBERS):
            yield f"field {name} of {message.type}"
            continue
        for value in values:
            if known[name].numbers.get(value, 0) >= FORKS_NUMBERS if known[name].type == "enum" else False:
                yield f"{name}: {value} of {message.type}"
        for inner in message.submessages(name):
            yield from foreign_fields(inner)


def list_names(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names[:MOST_NAMES])
    return quoted + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
