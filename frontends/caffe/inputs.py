"""Finds a net's inputs in Caffe's three forms: `input` with `input_dim` or `input_shape`, Input layers, data layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...compiler.errors import CompileError
from ...compiler.limits import show_type, size_fault
from ...compiler.op import did_you_mean
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
    """The valid inputs in order, the names of invalid ones, and the layers that are not inputs."""

    declared: list[DeclaredInput] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    layers: list[Message] = field(default_factory=list)


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
) -> Inputs:
    """Find the inputs. `shapes` override those of the file; errors are appended to `errors`.

    A data layer's top is an input only if a layer reads it, or it is in `shapes` or `asked`: an unused label needs no
    shape.
    """
    found, names = Inputs(), list[str]()
    given = dict(shapes)
    for name, dims, where, advice in [
        *read_legacy_inputs(message, errors),
        *read_input_layers(message, layers, given, asked, found, errors),
    ]:
        wanted = given.pop(name, dims)
        if name in names:
            errors.append(where.fault(f'the input "{name}" is declared twice'))
        elif wanted is None:
            advice = advice or f"Give one: --shape {name}=1,3,224,224, with the sizes that the net was trained for."
            is_data = where.type == "LayerParameter" and where["type"] in data_layers.DATA_LAYERS
            by = f', which layer "{where["name"]}" ({where["type"]}) would read from elsewhere,' if is_data else ""
            errors.append(where.fault(f'the input "{name}"{by} has no shape', None, advice))
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
    for name in given:
        advice = f"The inputs are {', '.join(names) or 'none'}."
        sentence = f'a shape is given for "{name}", which is no input{did_you_mean(name, names)}'
        errors.append(message.fault(sentence, None, advice))
    return found


def read_legacy_inputs(message: Message, errors: list[CompileError]) -> list[WrittenInput]:
    """Inputs at the top of the file: four `input_dim` or one `input_shape` for each `input`."""
    names, dims, shapes = message["input"], message["input_dim"], message["input_shape"]
    if dims and shapes:
        errors.append(message.fault("input_dim and input_shape are both given", "input_dim", "Keep one of the two."))
        return []
    if dims and len(dims) != 4 * len(names):
        sentence = f"{len(names)} inputs have four input_dim each, and {len(dims)} are given"
        errors.append(message.fault(sentence, "input_dim"))
        return []
    if shapes and len(shapes) != len(names):
        errors.append(message.fault(f"{len(names)} inputs, and {len(shapes)} input_shape", "input_shape"))
        return []
    if dims:
        return [WrittenInput(name, tuple(dims[4 * i : 4 * i + 4]), message) for i, name in enumerate(names)]
    return [WrittenInput(name, tuple(shapes[i]["dim"]) if shapes else None, message) for i, name in enumerate(names)]


def read_input_layers(
    message: Message,
    layers: Sequence[Message],
    shapes: dict[str, Sequence[Dim]],
    asked: Collection[str],
    into: Inputs,
    errors: list[CompileError],
) -> list[WrittenInput]:
    """The inputs that Input and data layers declare; the other layers are appended to `into.layers`."""
    found: list[WrittenInput] = []
    fed = message["input"] or any(l["type"] in ("Input", *data_layers.DATA_LAYERS) for l in layers)
    needed = {b for l in layers for b in l["bottom"]} | shapes.keys() | set(asked)
    for layer in layers:
        tops = layer["top"]
        if layer["bottom"] and layer["type"] in ("Input", *data_layers.DATA_LAYERS):
            sentence = f'layer "{layer["name"]}" ({layer["type"]}): it has a bottom, and takes none'
            errors.append(layer.fault(sentence, "bottom", "Caffe refuses this too. Remove it."))
        if layer["type"] == "Input":
            found.extend(read_input_layer(layer, errors))
        elif layer["type"] in data_layers.DATA_LAYERS or (
            layer["type"] == "DummyData" and (not fed or shapes.keys() & set(tops))
        ):
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


def read_input_layer(layer: Message, errors: list[CompileError]) -> list[WrittenInput]:
    """A layer of type Input: one shape for all tops, or one for each (input_layer.cpp)."""
    tops, shapes = layer["top"], layer["input_param"]["shape"]
    if len(shapes) not in (0, 1, len(tops)):
        errors.append(layer.fault(f'layer "{layer["name"]}" has {len(tops)} tops and {len(shapes)} shapes'))
        return []
    each = [tuple(shapes[i if len(shapes) > 1 else 0]["dim"]) if shapes else None for i in range(len(tops))]
    return [WrittenInput(top, dims, layer) for top, dims in zip(tops, each, strict=True)]
