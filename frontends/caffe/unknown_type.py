"""Says what a layer type that cortado does not have could be: a misspelling, or a name of another generation."""

from __future__ import annotations

from ...compiler.errors import CompileError, Loc
from ...compiler.suggestion import did_you_mean, suggestion, without_separators
from ..files.generations import V1_TYPES, rewrite_advice
from ..files.message import Message
from ..files.schema import field_types
from .data_layers import DATA_LAYERS
from .layer import LAYERS
from .upgrade_v0 import TYPES as V0_TYPES

TYPE_ADVICE = {
    "HDF5Output": "Take it out, and ask for its bottoms as outputs.",
}


def unknown_v1_types(file: Message) -> set[Loc]:
    """Where a file of `layers` has types that V1 lacks, be they names of today's."""
    known = field_types("V1LayerParameter")["type"].numbers
    return {layer.loc_of("type") for layer in file["layers"] if "type" in layer and layer["type"] not in known}


def unknown_type_error(layer: Message, file: Message) -> CompileError:
    """The error for a layer, of today's format, whose type is unknown. `file` is the net as it was written."""
    type = layer["type"]
    if not type:
        return layer.fault(f'layer "{layer["name"]}" has no type', None, 'Give it one: type: "ReLU", say.')
    known = [*LAYERS, *DATA_LAYERS, "Input"]
    sentence = f'layer "{layer["name"]}": cortado has no layer type {type}'
    advice = TYPE_ADVICE.get(type, "See docs/adding_a_layer.md for how to add one.")
    if "layers" in file:
        sentence, advice = describe_v1_type(type, known, sentence, advice, file)
    elif hint := did_you_mean(type, known):
        sentence += hint
    elif type in V1_TYPES or type in V0_TYPES:
        sentence += f"; {current_name(type)} was called {type} in Caffe's older files"
        advice = f'Write type: "{current_name(type)}".'
    return layer.fault(sentence, "type" if "type" in layer else None, advice)


def current_name(type: str) -> str:
    """Today's name of a type of 2014 or 2013."""
    return V1_TYPES[V0_TYPES.get(type, type)]


def describe_v1_type(type: str, known: list[str], sentence: str, advice: str, file: Message) -> tuple[str, str]:
    """Sentence and advice for a type in a file of `layers`, where fewer are known than in one of `layer`."""
    if close := suggestion(type, V1_TYPES):
        return f"{sentence}; did you mean {close}?", f"Write type: {close}."
    same = next((name for name in known if without_separators(name) == without_separators(type)), None)
    if same is None:
        return sentence, advice
    label = sentence.partition(": ")[0]
    layers: tuple[Message, ...] = file["layers"]
    types = [l["type"] for l in layers if l["type"] in V1_TYPES]
    fields = {name for l in layers for name in l.written}
    rewritten = rewrite_advice("", types, fields, any(l["param"] for l in layers))
    return (
        f'{label}: {same} is written type: "{same}" in a `layer` block; V1, with `layers`, has no {type}',
        f'{rewritten} This one is type: "{same}".',
    )
