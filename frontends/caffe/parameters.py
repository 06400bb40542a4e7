"""A net's learnt blobs as constants: each layer's own, or another's that it shares by `param { name }`."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...compiler.errors import CompileError
from ...compiler.ir import Constant, declare_weight
from ...compiler.rewrite import make_constant
from ...compiler.types import TensorType
from ..files.message import Message
from .layer import Layer
from .weights import WRONG_FILE_ADVICE, MissingBlob, Shape, WeightSource


class Parameters:
    """The blobs that layers have asked for so far, and where they come from."""

    def __init__(self, weights: WeightSource) -> None:
        self.weights = weights
        self.constants: dict[str, Constant] = {}
        self.shared: dict[str, tuple[Layer, int, Constant]] = {}  # by param name: the layer that owns it
        self.learners: dict[str, Layer] = {}  # layers that have blobs, by name
        self.absent: dict[Layer, MissingBlob] = {}  # layers for which the file has nothing
        self.faulty: dict[Layer, CompileError] = {}  # layers of which a blob cannot be had

    def weight(self, layer: Layer, index: int, shape: Shape, role: str) -> Constant:
        """A learnt blob: the owner's, where a param name shares it. One that cannot be had is noted, and unbound."""
        params = layer.message["param"]
        spec = params[index] if index < len(params) else None
        name = spec["name"] if spec is not None else ""
        if name and name in self.shared:
            return self.shared_weight(layer, index, shape, name, spec)
        if self.learners.setdefault(layer.name, layer) is not layer:
            first = self.learners[layer.name].message.loc.line
            advice = "Caffe finds weights by name, and would give them to the first alone. Give each its own name."
            raise layer.fault(f"another layer with weights has the same name, on line {first}", "name", advice)
        data = None
        try:
            data = self.weights.blob(layer.name, layer.type, index, shape)
        except MissingBlob as e:
            if e.whole:
                self.absent.setdefault(layer, e)
            else:
                self.faulty.setdefault(layer, layer.fault(e.sentence, None, e.advice))
        made = self.constant(f"{layer.name}.{role}", data, shape)
        if name:
            self.shared[name] = (layer, index, made)
        return made

    def shared_weight(self, layer: Layer, index: int, shape: Shape, name: str, spec: Message | None) -> Constant:
        """The owner's blob, if its shape is ours or, being PERMISSIVE, its count (net.cpp, AppendParam)."""
        owner, at, made = self.shared[name]
        if made.is_bound and self.weights.is_different(layer.name, index, made.data):
            sentence = f'blob {index} is shared with layer "{owner.name}", and the caffemodel has other numbers for it'
            advice = "Caffe keeps whichever comes last in the caffemodel. Take the name out to let each have its own."
            raise layer.fault(sentence, None, advice)
        if made.type.shape == shape:
            return made
        permissive = spec is not None and spec["share_mode"] == "PERMISSIVE"
        theirs = f'"{name}" belongs to layer "{owner.name}" (blob {at}), where it is {list(made.type.shape)}'
        if not permissive:
            advice = "Make the shapes equal, or say share_mode: PERMISSIVE if only the counts are to agree."
            raise layer.fault(f"{theirs}; blob {index} here is {list(shape)}", None, advice)
        if made.type.numel != TensorType("f32", shape).numel:
            raise layer.fault(f"{theirs}; blob {index} here is {list(shape)}, of another count")
        data = made.data.reshape(shape) if made.is_bound else None
        return self.constant(f"{layer.name}.{index}", data, shape)

    def constant(self, name: str, data: torch.Tensor | None, shape: Shape) -> Constant:
        """A named constant; the same one again if the name was given before."""
        made = declare_weight(name, TensorType("f32", shape)) if data is None else make_constant(name, data)
        return self.constants.setdefault(name, made)

    def errors(self) -> Iterator[CompileError]:
        """What is wrong with the weights: each layer's first fault, and in one sentence all layers that have none."""
        yield from self.faulty.values()
        if self.absent:
            (layer, why), *others = self.absent.items()
            names = [f'"{other.name}"' for other, _ in others]
            more = f", nor for {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}"
            yield layer.fault(why.sentence + (more if names else ""), None, why.advice)

    def check_count(self, layer: Layer) -> None:
        """Note weights that have another number of blobs for a layer than it took. Sharers may lack theirs."""
        count = self.weights.count(layer.name)
        if count is None or not layer.blobs or count == layer.blobs or any(p["name"] for p in layer.message["param"]):
            return
        sentence = f"the caffemodel has {count} blobs for it, and it takes {layer.blobs}"
        self.faulty.setdefault(layer, layer.fault(sentence, None, WRONG_FILE_ADVICE))
