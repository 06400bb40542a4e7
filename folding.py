"""Preprocessing as part of a net, on request: mean and scale go into the first layers' weights.

A picture's numbers minus a mean, times a scale, are one a·x + b for each channel. `prepared` writes that as a `scale`
right behind the input; `fold_forward` takes it into the convolutions that read it, in float64, wherever that is exact.
A request that no pass could meet is refused, with the reason: the net must not do at every run what it was asked to do
never again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from .compiler.errors import CompileError
from .compiler.ir import Graph, Value
from .compiler.op import did_you_mean
from .compiler.ops.channels import Scale
from .compiler.ops.conv import Conv
from .compiler.ops.dense import Linear
from .compiler.rewrite import UniqueNames, Writer, make_constant
from .passes import Note
from .runtime.artifact import Preprocessing

Forms = Mapping[str, Preprocessing]
PIXELS = 255.0  # the largest number of a picture's channel, as it is read


def insert_preprocessing(graph: Graph, forms: Forms) -> tuple[Graph, tuple[str, ...], dict[str, Preprocessing]]:
    """The net for pictures as they are, the names of the values that have to vanish, and what is left to be done.

    Order of channels, resizing and cutting are left. CompileError if a form is for no input, or not one number for each
    channel.
    """
    writer, names = Writer(graph), UniqueNames(graph)
    inputs = {v.name: v for v in graph.inputs}
    made, left = list[str](), dict[str, Preprocessing]()
    for name, form in forms.items():
        if name not in inputs:
            known = ", ".join(inputs) or "none"
            raise CompileError(
                f'the net has no input "{name}"{did_you_mean(name, inputs)}', advice=f"Its inputs are {known}."
            )
        a, b = coefficients(inputs[name], form)
        left[name] = replace(form, mean=(), scale=1.0, raw_scale=PIXELS)
        if a == 1 and not b.any():
            continue
        made.append(names.fresh(f"{name}.prepared"))
        gamma = make_constant(names.fresh(f"{name}.gamma"), torch.full_like(b, a))
        beta = make_constant(names.fresh(f"{name}.beta"), b)
        writer[inputs[name]] = writer.emit(Scale(), inputs[name], gamma, beta, name=made[-1])
    for node in graph.nodes:
        writer.copy(node)
    return (writer.finish() if made else graph), tuple(made), left


def coefficients(value: Value, form: Preprocessing) -> tuple[float, torch.Tensor]:
    """a and b (f64 [C]) of a·pixel + b, which is what `form` makes of a pixel of 0..255."""
    if value.type.rank < 2 or not isinstance(count := value.type.dims[1], int):
        raise CompileError(f'"{value.name}" is {value.type}: it has no channels that a mean could be for')
    if form.mean_image:
        advice = "Give the mean as one number for each channel: that of the picture's, over all places."
        raise CompileError(f'the mean picture of "{value.name}" is another number at each place', advice=advice)
    if len(form.mean) not in (0, 1, count):
        raise CompileError(f'there are {len(form.mean)} mean values, and "{value.name}" has {count} channels')
    mean = torch.tensor(form.mean or (0.0,), dtype=torch.float64).expand(count)
    return form.scale * (form.raw_scale / PIXELS), -mean * form.scale


def require_absorbed(names: Sequence[str], graph: Graph, notes: Sequence[Note]) -> None:
    """CompileError for the first of these values that is still there: the passes say why."""
    for name in names:
        if name not in graph.values:
            continue
        value = graph.values[name]
        why = [n.sentence.removeprefix("not folded forward: ") for n in notes if n.value == name and not n.done]
        readers = [n for n in graph.users[value] if not isinstance(n.op, Conv | Linear) and not n.op.shape_only]
        listed = ", ".join(f"{n.name} ({n.op.name})" for n in readers) or "the net's caller"
        reason = why[-1] if why else f"only convolutions and matrix products take them in, and {listed} reads it"
        advice = "Leave them to the runtime: compile without folding, and they are kept in the file."
        source = name.removesuffix(".prepared")
        raise CompileError(f'mean and scale of "{source}" cannot be part of the weights: {reason}', advice=advice)
