"""Folding of preprocessing: mean and scale of pictures become part of the first layers' weights, on request.

Subtracting a mean and multiplying by a scale is a·x + b per channel. `insert_preprocessing` adds this as a `scale` of
the input before the passes; `fold_forward` folds it into the convolutions that read it, in float64, where that is
exact. A `scale` that is left after the passes is an error (`require_absorbed`): it would cost time in every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..runtime.artifact import Preprocessing as Preprocessing  # which the front ends make, too
from .errors import CompileError
from .ir import Graph, Value, handle
from .ops.channels import Scale
from .ops.conv import Conv
from .ops.dense import Linear
from .rewrite import UniqueNames, Writer, make_constant
from .specialize import reshape_inputs
from .suggestion import did_you_mean
from .types import type_of

Forms = Mapping[str, Preprocessing]
PIXELS = 255.0  # the largest value of a pixel


def insert_preprocessing(graph: Graph, forms: Forms) -> tuple[Graph, tuple[str, ...], dict[str, Preprocessing]]:
    """The net for pixels of 0..255, the names of the values that have to be folded, and the remaining preprocessing.

    What remains is channel order, resizing and cropping. The forms have to pass `check_preprocessing`. CompileError if
    a mean does not have one number per channel.
    """
    writer, names = Writer(graph), UniqueNames(graph)
    inputs = {v.name: v for v in graph.inputs}
    made, left = list[str](), dict[str, Preprocessing]()
    for name, form in forms.items():
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


def attach_mean(form: Preprocessing, image: np.ndarray | None) -> tuple[Preprocessing, dict[str, torch.Tensor]]:
    """The preprocessing with the handle of this mean picture, f32 [C,H,W], and the picture as a tensor by handle."""
    if image is None:
        return form, {}
    tensor = torch.from_numpy(np.ascontiguousarray(image))
    form = replace(form, mean_image=handle(type_of(tensor), tensor))
    return form, {form.mean_image: tensor}


def check_preprocessing(graph: Graph, forms: Forms, images: Mapping[str, torch.Tensor]) -> None:
    """CompileError if a form is for an unknown input, does not fit it, or yields a size that the net refuses."""
    inputs = {v.name: v for v in graph.inputs}
    for name, form in forms.items():
        if name not in inputs:
            known = ", ".join(inputs) or "none"
            sentence = f'the net has no input "{name}"{did_you_mean(name, inputs)}'
            raise CompileError(sentence, advice=f"Its inputs are {known}.")
        dims = inputs[name].type.dims
        mean = tuple(images[form.mean_image].shape) if form.mean_image in images else None
        try:
            form.require_fits(name, dims, mean)
        except ValueError as e:
            advice = f"It is {inputs[name].type}; --mean, --scale, --crop and the like say how pictures become it."
            raise CompileError(str(e), advice=advice) from None
        if form.crop and len(dims) == 4 and dims[2:] != form.crop:
            reshape_inputs(graph, {name: (*dims[:2], *form.crop)})


def coefficients(value: Value, form: Preprocessing) -> tuple[float, torch.Tensor]:
    """a and b (f64 [C]) such that `form` maps a pixel of 0..255 to a·pixel + b."""
    if value.type.rank < 2 or not isinstance(count := value.type.dims[1], int):
        raise CompileError(f'"{value.name}" is {value.type}: it has no channels for a mean')
    if form.mean_image:
        advice = "Give the mean as one number for each channel: the mean of the picture over all pixels."
        raise CompileError(f'the mean of "{value.name}" is a picture, which differs from pixel to pixel', advice=advice)
    mean = torch.tensor(form.mean or (0.0,), dtype=torch.float64).expand(count)
    return form.scale * (form.raw_scale / PIXELS), -mean * form.scale


def require_absorbed(names: Sequence[str], graph: Graph, reasons: Mapping[str, str]) -> None:
    """CompileError for the first of these values that is still in the graph, with the reason that a pass noted."""
    for name in names:
        if name not in graph.values:
            continue
        value = graph.values[name]
        readers = [n for n in graph.users[value] if not isinstance(n.op, Conv | Linear) and not n.op.shape_only]
        listed = ", ".join(f"{n.name} ({n.op.name})" for n in readers) or "the net's caller"
        otherwise = f"only convolutions and matrix products can absorb them, and {listed} reads it"
        reason = reasons.get(name, otherwise).removeprefix("not folded forward: ")
        advice = "Compile without folding: the runtime then applies them, as stored in the file."
        source = name.removesuffix(".prepared")
        raise CompileError(f'mean and scale of "{source}" cannot be part of the weights: {reason}', advice=advice)
