"""Text to graph: names become values, calls become nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import ops
from ..errors import CompileError
from ..ir import NOWHERE, Constant, Graph, Node, Place, Value, declared
from ..op import REGISTRY, Op, make, near
from ..types import DTYPES, TensorType
from ..verify import verify
from .syntax import Block, Call, File, Line, Name, Typed, Weight, at, read
from .weights import Tensors, load


def parse(text: str, file: str = "<text>", weights: Mapping[str, torch.Tensor] | None = None) -> Graph:
    """The net in `text`, after the kernels that it calls.

    `weights` holds the tensors that the text names by handle; without it they come from the safetensors file that
    the text names, looked for beside `file`. A handle is hashed again: other numbers under it are refused.
    CompileError with place for whatever cannot be read or does not hold.
    """
    tree = read(text, file)
    tensors = weights if weights is not None else beside(tree, file)
    *kernels, net = tree.blocks
    known: dict[str, Graph] = {}
    for kernel in kernels:
        scope = Scope(text, file, tensors, known)
        if kernel.kind != "kernel" or kernel.name.text in known or kernel.name.text in REGISTRY:
            raise scope.fault(kernel.name, f"{kernel.name.text}: a text is kernels of different names, then one net")
        known[kernel.name.text] = scope.graph(kernel)
    return Scope(text, file, tensors, known).graph(net)


def beside(tree: File, file: str) -> Tensors:
    return load(Path(file).parent / tree.weights) if tree.weights else {}


class Scope:
    """One graph as it is read: the names that are known so far, and what they stand for."""

    def __init__(self, text: str, file: str, weights: Tensors, kernels: dict[str, Graph]) -> None:
        self.text, self.file, self.weights, self.kernels = text, file, weights, kernels
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.unused: dict[str, Name] = {}

    def graph(self, block: Block) -> Graph:
        inputs = tuple(self.define(i.name, Value(i.name.text, self.type(i), Place(i.layout))) for i in block.inputs)
        for part in block.body:
            self.weight(part) if isinstance(part, Weight) else self.line(part)
        returns = tuple((o.name.text, self.lookup(o.value)) for o in block.outputs)
        graph = Graph(block.name.text, inputs, tuple(self.nodes), returns, block.arena)
        try:
            return verify(graph)
        except CompileError as e:
            raise CompileError(e.message, e.loc or at(block.name.token, self.file), self.text, e.advice) from None

    def weight(self, weight: Weight) -> None:
        name, type, given = weight.typed.name, self.type(weight.typed), weight.given
        if not type.known:
            raise self.fault(name, f"{name.text} is {type}: all dimensions of a weight are known")
        if given is None:
            self.define(name, declared(name.text, type))
            return
        if isinstance(given, str):
            data = self.weights.get(given[1:])
            if data is None:
                advice = 'Name the file of weights at the top: weights "weights.safetensors".'
                raise self.fault(name, f"no weights with handle {given}", advice)
        else:
            data = self.tensor(name, given, type)
        if tuple(data.shape) != type.shape or data.dtype != DTYPES[type.dtype]:
            raise self.fault(name, f"{name.text} is {type}, and its numbers are {tuple(data.shape)} {data.dtype}")
        constant = Constant(name.text, type, data=data)
        if isinstance(given, str) and constant.handle != given[1:]:
            advice = "The file of weights belongs to another net, or has been changed."
            raise self.fault(name, f"{name.text} hashes to @{constant.handle}, not {given}", advice)
        self.define(name, constant)

    def tensor(self, name: Name, given: Any, type: TensorType) -> torch.Tensor:
        numbers = given if isinstance(given, tuple) else (given,)
        if len(numbers) != type.numel:
            raise self.fault(name, f"{len(numbers)} numbers for {type}")
        try:
            return torch.tensor(numbers, dtype=DTYPES[type.dtype]).reshape(type.shape)
        except (TypeError, ValueError, RuntimeError):
            raise self.fault(name, f"{name.text} is given as something else than {type.numel} numbers") from None

    def line(self, line: Line) -> None:
        first = line.targets[0].name
        node = self.call(line.call, [t.name.text for t in line.targets])
        if len(line.places) > len(line.targets):
            raise self.fault(first, f"{len(line.places)} places for {len(line.targets)} results")
        places = (*line.places, *[NOWHERE] * (len(line.targets) - len(line.places)))
        results = []
        for target, value, place in zip(line.targets, node.results, places, strict=True):
            if target.type and target.type != value.type:
                raise self.fault(target.name, f"{target.name.text} is {value.type}, not {target.type}")
            results.append(replace(value, place=replace(place, layout=target.layout)))
        self.emit([t.name for t in line.targets], replace(node, results=tuple(results)))

    def call(self, call: Call, names: list[str]) -> Node:
        """The node for a call; calls inside it become nodes of their own, called name.0, name.1, ..."""
        inputs = tuple(self.operand(o, f"{names[0]}.{i}") for i, o in enumerate(call.operands))
        try:
            op = self.op(call)
            types = op.types([v.type for v in inputs])
        except ValueError as e:
            given = ", ".join(f"{v.name} {v.type}" for v in inputs)
            raise self.fault(call.target, f"{call.target.text}: {e} (operands: {given})") from None
        if len(types) != len(names):
            raise self.fault(call.target, f"{call.target.text} makes {len(types)} results, not {len(names)}")
        results = tuple(Value(name, type) for name, type in zip(names, types, strict=True))
        return Node(op, inputs, results, at(call.target.token, self.file))

    def operand(self, written: Name | Call, name: str) -> Value:
        if isinstance(written, Name):
            return self.lookup(written)
        (value,) = self.emit([Name(name, written.target.token)], self.call(written, [name]))
        return value

    def op(self, call: Call) -> Op:
        name = call.target.text
        if name in self.kernels:
            if call.attributes:
                raise ValueError("a kernel has no attributes")
            return ops.fused.Fused(self.kernels[name])
        if name == ops.fused.Fused.name:
            raise ValueError("a kernel is called by its own name")
        return make(name, call.attributes)

    def emit(self, names: list[Name], node: Node) -> tuple[Value, ...]:
        self.nodes.append(node)
        return tuple(self.define(name, v) for name, v in zip(names, node.results, strict=True))

    def define(self, name: Name, value: Value) -> Value:
        if value.name in self.values:
            raise self.fault(name, f"{value.name} is made twice", "Every value is made once: give one another name.")
        self.values[value.name] = value
        return value

    def lookup(self, name: Name) -> Value:
        if name.text not in self.values:
            raise self.fault(name, f"{name.text} is not made before this line{near(name.text, self.values)}")
        return self.values[name.text]

    def type(self, typed: Typed) -> TensorType:
        assert typed.type is not None
        return typed.type

    def fault(self, name: Name, message: str, advice: str = "") -> CompileError:
        return CompileError(message, at(name.token, self.file), self.text, advice)
