"""Finds out which fork's meaning a layer has, where forks of Caffe give one name to different layers.

What the file says decides: a dialect is out if the layer has settings, bottoms, tops or blobs that its fork does not
have, or the fork refuses it. Where several remain, each is tried: if they emit the same operators, the choice does not
matter. Otherwise the user is asked for it, and nothing is guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ...compiler.errors import CompileError, Loc
from ...compiler.ir import Constant, Value, declare_weight
from ...compiler.op import Op
from ...compiler.suggestion import did_you_mean
from ...compiler.types import TensorType
from ..files.message import Message
from .forks import FORKS, find_fork
from .layer import DialectMismatch, GraphEmitter, Layer
from .layer_checks import check_counts, describe_range
from .layer_types import LAYERS, LayerType

Trace = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class ChosenDialect:
    """The dialect of some layers of one type, and the reason in words: it was asked for, or the file says so."""

    type: str
    dialect: str
    layers: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        shown = ", ".join(f'"{name}"' for name in self.layers[:5]) + ", ..." * (len(self.layers) > 5)
        return f"{self.type} is read as in {self.dialect} ({FORKS[self.dialect]}): {self.reason}; layers: {shown}"


@dataclass
class Dialects:
    """The dialects that a user asks for, for a net and for single layer types, and those that its layers have."""

    for_net: str = ""
    for_types: Mapping[str, str] = field(default_factory=dict)
    layers: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    undecided: dict[tuple[str, ...], CompileError] = field(default_factory=dict)  # asked about once for each type

    def asked_for(self, type: str) -> str:
        """The dialect that the user asks for, if this type has it; else ""."""
        name = self.for_types.get(type, self.for_net)
        return name if name in LAYERS[type].dialects else ""

    def record(self, layer: Layer, dialect: str, reason: str) -> None:
        self.layers.setdefault((layer.type, dialect, reason), []).append(layer.name)

    @property
    def chosen(self) -> tuple[ChosenDialect, ...]:
        """What was chosen, each layer once."""
        return tuple(ChosenDialect(t, d, tuple(names), why) for (t, d, why), names in self.layers.items())


def parse_dialects(words: Sequence[str]) -> Dialects:
    """The dialects asked for as NAME, for all layers, or as TYPE=NAME. CompileError for a name that is not known."""
    names, types = list[str](), dict[str, str]()
    for word in words:
        type, equals, said = word.rpartition("=")
        name = find_fork(said)
        of_type = LAYERS[type].dialects if type in LAYERS else {}
        several = [t for t, kind in LAYERS.items() if kind.dialects]
        if equals and not of_type:
            sentence = f"dialect {word}: {type or 'no type'} is not a layer type that has dialects"
            raise CompileError(f"{sentence}{did_you_mean(type, several)}", advice=f"Those are {', '.join(several)}.")
        known = of_type or FORKS
        if name is None or name not in known:
            what = f"{said or 'nothing'} is not a dialect {f'of {type}' if equals else 'of any layer type'}"
            advice = f"They are {', '.join(f'{name} ({FORKS[name]})' for name in known)}."
            raise CompileError(f"dialect {word}: {what}{did_you_mean(said, known)}", advice=advice)
        if equals and types.setdefault(type, name) != name:
            raise CompileError(f"dialect {word}: {type} is asked to be {types[type]} too", advice="Ask for one.")
        if not equals:
            names.append(name)
    if len(set(names)) > 1:
        advice = "Ask for one, and for others by layer type: TYPE=NAME."
        raise CompileError(
            f"the net is asked to be in the dialects {' and '.join(dict.fromkeys(names))}", advice=advice
        )
    return Dialects(names[0] if names else "", types)


def choose_dialect(layer: Layer, dialects: Dialects) -> None:
    """Give the layer the meaning that it has among the dialects of its type, if there are any.

    CompileError if it can be none of them, or several that differ; for layers alike the same error.
    """
    if not (several := layer.layer_type.dialects):
        return
    if name := dialects.asked_for(layer.type):
        reason = "as asked"
        if foreign := find_foreign_settings(layer, several[name], several):
            raise layer.message.fault(f"{layer.label}: {foreign} is not in the Caffe of {name}, as asked for", foreign)
    else:
        name, reason = find_dialect(layer, several, dialects)
    layer.message.reset_reads()  # those of the dialects that were tried
    layer.layer_type = several[name]
    dialects.record(layer, name, reason)


def find_dialect(layer: Layer, several: Mapping[str, LayerType], dialects: Dialects) -> tuple[str, str]:
    """The dialect that the file means, and the reason. CompileError if it can be none of them, or several."""
    several = {name: kind for name, kind in several.items() if not kind.on_request}
    against = {name: describe_misfit(layer, kind, several) for name, kind in several.items()}
    traces = dict[str, Trace]()
    fitting = [name for name in several if not against[name]]
    for name in fitting if len(fitting) > 1 else ():
        try:
            traces[name] = trace_layer(layer, several[name])
        except DialectMismatch as e:
            against[name] = e.message.removeprefix(f"{layer.label}: ")
    fitting = [name for name in several if not against[name]]
    if not fitting:
        told = "; ".join(f"in {name}, {misfit}" for name, misfit in against.items())
        advice = f"If one of them is meant all the same, ask for it: {spell_options(layer.type, list(several))}."
        raise layer.fault(f"it is none of the layers that forks of Caffe call {layer.type}: {told}", None, advice)
    if len(fitting) == 1:
        others = "; ".join(f"in {name}, {misfit}" for name, misfit in against.items() if misfit)
        return fitting[0], others or "no other is known"
    first, *others_left = fitting
    if all(traces[name] == traces[first] for name in others_left):
        return first, f"the same in {' and '.join(others_left)}"
    told = "; ".join(f"in {name}: {first_sentence(several[name])}" for name in fitting)
    sentence = f"forks of Caffe differ in what {layer.type} is, and the file fits several: {told}"
    advice = f"Say which one is meant: {spell_options(layer.type, fitting)}."
    raise dialects.undecided.setdefault((layer.type, *fitting), layer.fault(sentence, None, advice))


def spell_options(type: str, names: Sequence[str]) -> str:
    """How a user asks for one of these dialects."""
    options = " or ".join(f"--dialect {name}" for name in names)
    return f'{options}, --dialect {type}={names[0]} for this type alone, in Python dialect="{names[0]}"'


def first_sentence(kind: LayerType) -> str:
    """What the layer does, from the docstring of its function, without the full stop."""
    about = " ".join((inspect.getdoc(kind.function) or "").split("\n\n")[0].split())
    return about.partition(". ")[0].removesuffix(".")


def describe_misfit(layer: Layer, kind: LayerType, several: Mapping[str, LayerType]) -> str:
    """Why the layer cannot have the dialect `kind`, in words; "" if it can."""
    message = layer.message
    for noun, has, wanted in (("bottom", len(layer.bottoms), kind.bottoms), ("top", len(layer.tops), kind.tops)):
        if not wanted[0] <= has <= wanted[1]:
            return f"it takes {describe_range(wanted)} {noun}{'s' * (wanted != (1, 1))}"
    if foreign := find_foreign_settings(layer, kind, several):
        return f"it has no {foreign}"
    if other := describe_other_schema(message, kind, several):
        return other
    own = message.submessages(kind.param) if kind.param else ()
    if unknown := [name for settings in own for name in settings.written if name not in kind.fields]:
        return f"it has no {unknown[0]}"
    if newer := sorted(kind.lacks & layer.importer.types):
        return f"there is no layer type {newer[0]}"
    return kind.against(layer) if kind.against else ""


def describe_other_schema(layer: Message, kind: LayerType, several: Mapping[str, LayerType]) -> str:
    """Why the fork whose caffe.proto is given, if one is, has another dialect than `kind`; "" if it may have this one.

    A dialect's `fields` are all that its fork has.
    """
    known = layer.schema.own_fields("LayerParameter")
    if known is None:
        return ""
    if kind.param is not None and kind.param not in known:
        return f"there is {kind.param}, and none in the caffe.proto that is given"
    if kind.param is None:
        others = [other.param for other in several.values() if other.param is not None and other.param in known]
        return f"there is no {others[0]}, as in the caffe.proto that is given" if others else ""
    own = layer.schema.own_fields(layer.field_types[kind.param].message) or frozenset()
    every = {field for other in several.values() for field in other.fields}
    foreign = sorted((own & every) - kind.fields)
    return f"{kind.param} has no {foreign[0]}, as in the caffe.proto that is given" if foreign else ""


def find_foreign_settings(layer: Layer, kind: LayerType, several: Mapping[str, LayerType]) -> str:
    """The field with the settings of another dialect that the file gives the layer; "" if there is none."""
    fields = [other.param for other in several.values() if other.param and other.param != kind.param]
    return next((name for name in fields if layer.message.submessages(name)), "")


def trace_layer(layer: Layer, kind: LayerType) -> Trace:
    """What the layer would emit with this meaning: equal for equal operators, operands and results.

    Its error, if it has one that does not speak against the dialect. Raises DialectMismatch.
    """
    emitter = TraceEmitter(layer.importer)
    tried = Layer(layer.message, layer.bottoms, emitter)
    tried.layer_type = kind
    try:
        check_counts(tried)
        made = tried.call()
    except DialectMismatch:
        raise
    except CompileError as e:
        return ("error", e.message)
    results = made if isinstance(made, tuple) else (made,)
    return (*emitter.nodes, tuple(emitter.key(value) for value in results))


class TraceEmitter:
    """Records what a layer's function emits, and leaves the net as it is."""

    def __init__(self, importer: GraphEmitter) -> None:
        self.importer, self.types, self.makers = importer, importer.types, importer.makers
        self.nodes: list[Trace] = []
        self.keys: dict[Value, object] = {}
        self.warn = lambda sentence: None

    def key(self, value: Value) -> object:
        """What stands for a value in the trace; for a bottom, the value itself."""
        return self.keys.get(value, value)

    def emit(self, op: Op, inputs: Sequence[Value], loc: Loc) -> tuple[Value, ...]:
        types = op.infer_types([v.type for v in inputs])
        results = tuple(Value(f"%{len(self.nodes)}.{i}", type) for i, type in enumerate(types))
        self.keys.update((value, value.name) for value in results)
        self.nodes.append((op, tuple(self.key(v) for v in inputs)))
        return results

    def describe(self, values: Sequence[Value]) -> str:
        return ""

    def weight(self, layer: Layer, index: int, shape: tuple[int, ...], role: str) -> Constant:
        made = declare_weight(f"{layer.name}.{role}", TensorType("f32", shape))
        self.keys[made] = ("blob", index, shape)
        return made

    def constant(self, name: str, data: torch.Tensor | None, shape: tuple[int, ...]) -> Constant:
        """A constant computed from blobs, which equals no other: their numbers are not read here."""
        return declare_weight(name, TensorType("f32", shape))

    def count(self, layer: Layer) -> int | None:
        return self.importer.count(layer)
