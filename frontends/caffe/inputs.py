"""Finds a net's inputs in Caffe's three forms: `input` with `input_dim` or `input_shape`, Input layers, data layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...compiler.errors import CompileError
from ...compiler.limits import show_type, size_fault
from ...compiler.suggestion import did_you_mean
from ...compiler.types import AtMost, Dim, TensorType
from ..files.message import Message
from . import data_layers


@dataclass(frozen=True, slots=True)
class DeclaredInput:
    """An input of the net: blob name, type, and `layer`, the label of its declaration in error messages."""

    name: str
    type: TensorType
    layer: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """The valid inputs in order, the names of invalid ones, the layers that are not inputs, and what Caffe ignores."""

    declared: list[DeclaredInput] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    layers: list[Message] = field(default_factory=list)
    ignored: list[CompileError] = field(default_factory=list)


class WrittenInput(NamedTuple):
    """An input as declared: blob name, shape (None: not given), the declaring message, advice if there is no shape."""

    name: str
    dims: Sequence[Dim] | None
    where: Message
    advice: str = ""


def read_inputs(
    message: Message,
    layers: Sequence[Message],
    shapes: dict[str, Sequence[Dim]],
    asked: Collection[str],
    errors: list[CompileError],
    spoiled: Collection[Message] = (),
) -> Inputs:
    """Find the inputs. `shapes` override those of the file; errors are appended to `errors`.

    Of what is `spoiled`, the net or a layer, an error is known already: its inputs are broken without another one.

    A data layer's top is an input only if a layer reads it, or it is in `shapes` or `asked`: an unused label needs no
    shape. A top of a DummyData is one only if it is in `shapes`: it is a constant.
    """
    found, names = Inputs(), list[str]()
    given, shapeless, twice = dict(shapes), dict[Message, list[WrittenInput]](), dict[Message, list[str]]()
    for written in [
        *read_legacy_inputs(message, layers, given.keys(), asked, found, errors, spoiled),
        *read_input_layers(layers, given, asked, found, errors, spoiled),
    ]:
        name, dims, where, _ = written
        wanted = given.pop(name, dims)
        if name in names:
            twice.setdefault(where, []).append(name)
        elif wanted is None:
            shapeless.setdefault(where, []).append(written)
            found.broken.add(name)
        elif any((d.bound if isinstance(d, AtMost) else d) < 1 for d in wanted):
            errors.append(where.fault(f'the input "{name}" is {list(wanted)}: every size is at least 1'))
            found.broken.add(name)
        elif fault := size_fault(TensorType("f32", tuple(wanted))):
            shown = show_type(TensorType("f32", tuple(wanted)))
            errors.append(where.fault(f'the input "{name}", {shown}, {fault}'))
            found.broken.add(name)
        else:
            found.declared.append(DeclaredInput(name, TensorType("f32", tuple(wanted)), f'the input "{name}"'))
        names.append(name)
    errors.extend(no_shape_error(where, inputs) for where, inputs in shapeless.items())
    for where, repeated in twice.items():
        advice = "Keep one of them: Caffe refuses this too."
        errors.append(where.fault(f"{list_inputs(repeated, 'is', 'are')} declared twice", None, advice))
    for name in given.keys() - found.broken:
        advice = f"The inputs are {', '.join(names) or 'none'}."
        sentence = f'a shape is given for "{name}", which is no input{did_you_mean(name, names)}'
        errors.append(message.fault(sentence, None, advice))
    return found


def no_shape_error(where: Message, inputs: Sequence[WrittenInput]) -> CompileError:
    """The error for inputs that are declared in one place, without their shapes."""
    is_data = where.type == "LayerParameter" and where["type"] in data_layers.DATA_LAYERS
    by = f', which layer "{where["name"]}" ({where["type"]}) would read from elsewhere,' if is_data else ""
    names = [i.name for i in inputs]
    options = " ".join(f"--shape {name}=1,3,224,224" for name in names)
    advice = inputs[0].advice or f"Give one: {options}, with the sizes that the net was trained for."
    return where.fault(f"{list_inputs(names, 'has', 'have', by)} no shape", None, advice)


def list_inputs(names: Sequence[str], one: str, many: str, inserted: str = "") -> str:
    """`the input "a" has` or `the inputs "a", "b" have`."""
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"the input {quoted}{inserted} {one}" if len(names) == 1 else f"the inputs {quoted}{inserted} {many}"


def read_legacy_inputs(
    message: Message,
    layers: Sequence[Message],
    shapes: Collection[str],
    asked: Collection[str],
    into: Inputs,
    errors: list[CompileError],
    spoiled: Collection[Message],
) -> list[WrittenInput]:
    """Inputs at the top of the file: four `input_dim` or one `input_shape` for each `input`.

    As UpgradeNetInput does it (upgrade_proto.cpp): an `input` without any sizes is dropped where a layer makes that
    blob, or none needs it, and sizes without an `input` are dropped.
    """
    names: tuple[str, ...] = message["input"]
    if message in spoiled and any(shape.unknown for shape in message["input_shape"]):
        into.broken.update(names)
        return []
    field = "input_shape" if message["input_shape"] else "input_dim"
    sizes = [tuple(s["dim"]) for s in message["input_shape"]] or four_each(message["input_dim"])
    unmade = unmade_bottoms(layers)
    if not sizes:
        made = {top for layer in layers for top in layer["top"]}
        wanted = [n for n in names if n in unmade or (n not in made and (n in shapes or n in asked))]
        return [WrittenInput(name, None, message) for name in wanted]
    unmade = [name for name in unmade if name not in names]
    error = None
    if message["input_dim"] and message["input_shape"]:
        advice = "Keep input_shape: Caffe 1.0 takes that one, and older versions refuse both."
        error = message.fault("input_dim and input_shape are both given", "input_dim", advice)
    elif len(sizes[-1]) < 4 and field == "input_dim":
        sentence = f"each input has four input_dim, and {len(message['input_dim'])} are given"
        error = message.fault(sentence, "input_dim", f"Give {max(1, len(names)) * 4}: n, c, h, w of each input.")
    elif len(sizes) < len(names) or (len(sizes) > len(names) and unmade):
        sentence = f"{count(len(names), 'input')}, and {count(len(sizes), 'shape')} ({field})"
        missing = f'input: "{unmade[0]}"' if unmade else f"{field} for {names[-1]}"
        error = message.fault(sentence, field, f"Is {missing} missing?")
    if error:
        if message not in spoiled:
            errors.append(error)
        into.broken.update(names, unmade if len(sizes) != len(names) else ())
        return []
    if len(sizes) > len(names):
        sentence = f"{count(len(names), 'input')}, and {count(len(sizes), 'shape')} ({field})"
        into.ignored.append(message.fault(f"{sentence}: as in Caffe the rest is ignored", field))
    return [WrittenInput(name, dims, message) for name, dims in zip(names, sizes, strict=False)]


def unmade_bottoms(layers: Sequence[Message]) -> list[str]:
    """The blobs that layers read and no layer makes, except in place."""
    made = {top for layer in layers for top in layer["top"] if top not in layer["bottom"]}
    return [b for b in dict.fromkeys(b for layer in layers for b in layer["bottom"]) if b not in made]


def four_each(dims: Sequence[int]) -> list[tuple[int, ...]]:
    """The numbers in fours."""
    return [tuple(dims[i : i + 4]) for i in range(0, len(dims), 4)]


def count(number: int, noun: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def read_input_layers(
    layers: Sequence[Message],
    shapes: dict[str, Sequence[Dim]],
    asked: Collection[str],
    into: Inputs,
    errors: list[CompileError],
    spoiled: Collection[Message],
) -> list[WrittenInput]:
    """The inputs that Input and data layers declare; the other layers are appended to `into.layers`."""
    found: list[WrittenInput] = []
    needed = {b for l in layers for b in l["bottom"]} | shapes.keys() | set(asked)
    for layer in layers:
        tops = layer["top"]
        if layer["bottom"] and layer["type"] in ("Input", *data_layers.DATA_LAYERS):
            sentence = f'layer "{layer["name"]}" ({layer["type"]}): it has a bottom, and takes none'
            errors.append(layer.fault(sentence, "bottom", "Caffe refuses this too. Remove it."))
        if layer in spoiled and layer["type"] in ("Input", *data_layers.DATA_LAYERS):
            into.broken.update(tops)
        elif layer["type"] == "Input":
            found.extend(read_input_layer(layer, layers, into, errors))
        elif layer["type"] == "DummyData" and shapes.keys() & set(tops):
            found.extend(WrittenInput(top, None, layer) for top in tops if top in shapes)
            if rest := data_layers.without_tops(layer, shapes.keys()):
                into.layers.append(rest)
        elif layer["type"] in data_layers.DATA_LAYERS:
            try:
                dims = data_layers.top_shapes(layer, shapes)
            except CompileError as e:
                errors.append(e)
                into.broken.update(tops)
                continue
            tops_found = [
                WrittenInput(t, d, layer, data_layers.shape_advice(layer, t)) for t, d in zip(tops, dims, strict=True)
            ]
            if layer["type"] in data_layers.LABELLED_LAYERS and dims and dims[0] is None:
                # Report the images' shape only: the labels' follows from it.
                into.broken.update(f.name for f in tops_found if f.dims is None)
                tops_found = [f for i, f in enumerate(tops_found) if i == 0 or f.dims is not None]
            found.extend(f for f in tops_found if f.name in needed)
        else:
            into.layers.append(layer)
    return found


def read_input_layer(
    layer: Message, layers: Sequence[Message], into: Inputs, errors: list[CompileError]
) -> list[WrittenInput]:
    """A layer of type Input: one shape for all tops, or one for each (input_layer.cpp)."""
    tops = layer["top"]
    shapes = [tuple(shape["dim"]) for shape in layer["input_param"]["shape"]]
    if len(shapes) not in (0, 1, len(tops)):
        sentence = f'layer "{layer["name"]}" has {count(len(tops), "top")} and {count(len(shapes), "shape")}'
        advice = "Give input_param one shape for each top, or one for all."
        errors.append(layer.fault(sentence, "name" if "name" in layer else None, advice))
        into.broken.update(tops, unmade_bottoms(layers) if len(tops) < len(shapes) else ())
        return []
    each = [shapes[i if len(shapes) > 1 else 0] if shapes else None for i in range(len(tops))]
    return [WrittenInput(top, dims, layer) for top, dims in zip(tops, each, strict=True)]
