"""Learnt blobs as constants: a layer's own, or another layer's that it shares by `param { name }`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from ...compiler.errors import CompileError
from ...compiler.ir import Constant, declare_weight
from ...compiler.rewrite import make_constant
from ...compiler.types import TensorType
from ..files.message import Message
from . import fillers
from .layer import Layer
from .weights import WRONG_FILE_ADVICE, MissingBlob, Shape, WeightSource


class FilledBlob(NamedTuple):
    """A blob that its filler makes: its role, its shape, and with what it is filled, in words."""

    role: str
    shape: Shape
    words: str


class Parameters:
    """The constants of the layers imported so far, and errors about their weights."""

    def __init__(self, weights: WeightSource, filler: fillers.Filler = fillers.fill) -> None:
        self.weights, self.filler = weights, filler
        self.constants: dict[str, Constant] = {}
        self.shared: dict[str, tuple[Layer, int, Constant]] = {}  # by param name: owner, blob index, constant
        self.learners: dict[str, Layer] = {}  # layers that have blobs, by name
        self.absent: dict[Layer, tuple[MissingBlob, str]] = {}  # layers without any stored blob, and about fillers
        self.filled: dict[Layer, list[FilledBlob]] = {}  # by their fillers, since no blob is stored
        self.faulty: dict[Layer, CompileError] = {}  # each layer's first invalid blob

    def weight(self, layer: Layer, index: int, shape: Shape, role: str) -> Constant:
        """The constant of a learnt blob, or of its owner's if a param name shares it.

        A missing blob is recorded, and its constant left unbound. CompileError if a shared blob does not fit, or
        another layer with weights has the same name.
        """
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
                data = self.fill(layer, index, shape, role, e)
            else:
                self.faulty.setdefault(layer, layer.fault(e.sentence, None, e.advice))
        made = self.constant(f"{layer.name}.{role}", data, shape)
        if name:
            self.shared[name] = (layer, index, made)
        return made

    def fill(self, layer: Layer, index: int, shape: Shape, role: str, missing: MissingBlob) -> torch.Tensor | None:
        """A blob as its filler makes it, for a layer that has none stored; None, and recorded as absent, if inexact."""
        try:
            data, words = self.filler(layer, index, shape, role)
        except fillers.InexactFiller as e:
            self.absent.setdefault(layer, (missing, str(e)))
            return None
        if words:
            self.filled.setdefault(layer, []).append(FilledBlob(role, shape, words))
        return data

    def warnings(self) -> Iterator[str]:
        """Yield a warning for each layer whose blobs come from its fillers."""
        for layer, blobs in self.filled.items():
            each = "; ".join(f"its {b.role} {list(b.shape)} is filled with {b.words}" for b in blobs)
            unread = [n for n in self.weights.layers_like([b.shape for b in blobs]) if n not in self.learners]
            hint = f'. Weights of that shape are there for "{unread[0]}", which the net does not have' if unread else ""
            yield f"{layer.message.loc}: {layer.label}: there are no weights for it. As in Caffe {each}{hint}"

    def shared_weight(self, layer: Layer, index: int, shape: Shape, name: str, spec: Message | None) -> Constant:
        """The owner's blob; its shape, or with share_mode PERMISSIVE its count, must agree (net.cpp, AppendParam)."""
        owner, at, made = self.shared[name]
        if made.is_bound and self.weights.is_different(layer.name, index, made.data):
            sentence = f'blob {index} is shared with layer "{owner.name}", and the caffemodel has other values for it'
            advice = "Caffe keeps whichever comes last in the caffemodel. Take the name out to let each have its own."
            raise layer.fault(sentence, None, advice)
        if made.type.shape == shape:
            return made
        permissive = spec is not None and spec.choice("share_mode", {"STRICT": False, "PERMISSIVE": True}, layer.label)
        theirs = f'"{name}" belongs to layer "{owner.name}" (blob {at}), where it is {list(made.type.shape)}'
        if not permissive:
            advice = "Make the shapes equal, or set share_mode: PERMISSIVE if only the counts are to agree."
            raise layer.fault(f"{theirs}; blob {index} here is {list(shape)}", None, advice)
        if made.type.numel != TensorType("f32", shape).numel:
            raise layer.fault(f"{theirs}; blob {index} here is {list(shape)}, of another count")
        data = made.data.reshape(shape) if made.is_bound else None
        return self.constant(f"{layer.name}.{index}", data, shape)

    def constant(self, name: str, data: torch.Tensor | None, shape: Shape) -> Constant:
        """The constant of this name; created on the first call. `data` None: unbound."""
        made = declare_weight(name, TensorType("f32", shape)) if data is None else make_constant(name, data)
        return self.constants.setdefault(name, made)

    def errors(self) -> Iterator[CompileError]:
        """Yield each layer's first weight error, then one error for all layers without weights."""
        yield from self.faulty.values()
        if self.absent:
            (layer, (why, reason)), *others = self.absent.items()
            names = [f'"{other.name}"' for other, _ in others]
            more = f", nor for {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}"
            sentence = why.sentence + (more if names else "") + (f"; {reason}" if reason else "")
            yield layer.fault(sentence, None, why.advice)

    def forget_errors(self, layer: Layer) -> None:
        """Forget what is wrong with the blobs of a layer that has another error: they may be wrong because of it."""
        for found in (self.absent, self.faulty, self.filled):
            found.pop(layer, None)

    def check_count(self, layer: Layer) -> None:
        """Record an error if the file has another count of blobs than the layer used, unless it shares parameters."""
        count = self.weights.count(layer.name)
        if count is None or not layer.blobs or count == layer.blobs or any(p["name"] for p in layer.message["param"]):
            return
        sentence = f"the caffemodel has {count} blobs for it, and it takes {layer.blobs}"
        self.faulty.setdefault(layer, layer.fault(sentence, None, WRONG_FILE_ADVICE))
