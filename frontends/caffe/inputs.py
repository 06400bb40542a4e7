"""A net's inputs in Caffe's three forms: `input` + `input_dim`, `input` + `input_shape`, and layers of type Input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...compiler.errors import CompileError
from ...compiler.op import near
from ...compiler.types import AtMost, Dim, TensorType
from ..message import Message


@dataclass(frozen=True, slots=True)
class Declared:
    """An input: its blob's name, its type, and who declares it, in words."""

    name: str
    type: TensorType
    layer: str


def declared_inputs(
    message: Message, layers: Sequence[Message], shapes: dict[str, Sequence[Dim]], errors: list[CompileError]
) -> list[Declared]:
    """All inputs in order. `shapes` replace what the file says; what is wrong is added to `errors`."""
    found: list[Declared] = []
    given = dict(shapes)
    for name, dims, where in [*legacy(message, errors), *by_layer(layers, errors)]:
        wanted = given.pop(name, dims)
        if any(f.name == name for f in found):
            errors.append(where.fault(f'the input "{name}" is declared twice'))
        elif wanted is None:
            advice = f"Give one: --shape {name}=1,3,224,224, with the sizes that the net was trained for."
            errors.append(where.fault(f'the input "{name}" has no shape', None, advice))
        elif any((d.bound if isinstance(d, AtMost) else d) < 1 for d in wanted):
            errors.append(where.fault(f'the input "{name}" is {list(wanted)}: every size is at least 1'))
        else:
            found.append(Declared(name, TensorType("f32", tuple(wanted)), f'the input "{name}"'))
    for name in given:
        known = [f.name for f in found]
        advice = f"The inputs are {', '.join(known) or 'none'}."
        sentence = f'a shape is given for "{name}", which is no input{near(name, known)}'
        errors.append(message.fault(sentence, None, advice))
    return found


Form = tuple[str, Sequence[Dim] | None, Message]


def legacy(message: Message, errors: list[CompileError]) -> list[Form]:
    """Inputs at the head of the file: four `input_dim` or one `input_shape` for each `input`."""
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
        return [(name, tuple(dims[4 * i : 4 * i + 4]), message) for i, name in enumerate(names)]
    return [(name, tuple(shapes[i]["dim"]) if shapes else None, message) for i, name in enumerate(names)]


def by_layer(layers: Sequence[Message], errors: list[CompileError]) -> list[Form]:
    """Layers of type Input: one shape for all tops, or one for each."""
    found: list[Form] = []
    for layer in layers:
        if layer["type"] != "Input":
            continue
        tops, shapes = layer["top"], layer["input_param"]["shape"]
        if len(shapes) not in (0, 1, len(tops)):
            errors.append(layer.fault(f'layer "{layer["name"]}" has {len(tops)} tops and {len(shapes)} shapes'))
            continue
        for i, top in enumerate(tops):
            shape = shapes[i if len(shapes) > 1 else 0]["dim"] if shapes else None
            found.append((top, tuple(shape) if shape is not None else None, layer))
    return found
