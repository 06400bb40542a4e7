"""Builds one graph from its syntax tree: resolves names to values, and calls to nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from .. import ops
from ..errors import CompileError
from ..ir import Constant, Graph, Node, Value, declare_weight
from ..limits import MAX_CALLS, MAX_NODES
from ..op import REGISTRY, Op, make_op
from ..plan import Alias, Halo, MemoryPlan, Offset, Placement, PlannedGraph, Subview
from ..suggestion import did_you_mean
from ..types import DTYPES, TensorType
from ..verify import verify
from .evaluate import Evaluator
from .frame import Frame, find_last_definitions
from .syntax import location_of
from .tree import (
    Assignment,
    CallSyntax,
    GraphBlock,
    Name,
    Place,
    PlaceAt,
    PlaceHalo,
    PlaceIn,
    PlaceOver,
    Statements,
    TypedName,
    WeightDeclaration,
)
from .weights import Tensors


class Scope(Evaluator):
    """The values and nodes built so far, and the frame in which names are looked up."""

    def __init__(self, text: str, file: str, weights: Tensors, kernels: Mapping[str, Graph]) -> None:
        super().__init__(text, file)
        self.weights, self.kernels = weights, kernels
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.places: list[tuple[Value, Place]] = []
        self.depth = self.work = 0

    @property
    def callable_names(self) -> list[str]:
        """The names of all operators and kernels."""
        return [*REGISTRY, *self.kernels]

    def build_graph(self, block: GraphBlock) -> PlannedGraph:
        self.frame = Frame(last_definitions=find_last_definitions(block.body))
        inputs = tuple(self.define(i.name, Value(i.name.text, self.evaluate_type(i), i.layout)) for i in block.inputs)
        self.build_statements(block.body)
        returns = tuple((o.name.text, self.lookup(o.value)) for o in block.outputs)
        graph = Graph(block.name.text, inputs, tuple(self.nodes), returns)
        plan = self.memory_plan(block.arena)
        try:
            return PlannedGraph(verify(graph, plan), plan)
        except CompileError as e:
            raise CompileError(
                e.message, e.loc or location_of(block.name.token, self.file), self.text, e.advice
            ) from None

    def kernel(self, block: GraphBlock) -> Graph:
        """The body of a kernel. CompileError if it has placements, which only a net's values have."""
        graph, plan = self.build_graph(block)
        if plan:
            raise self.make_error(block.name, f"{block.name.text} is a kernel: only values of a net have placements")
        return graph

    def memory_plan(self, arena: int | None) -> MemoryPlan:
        """The memory plan that the placements in the text give."""
        halos = {v: Halo(place.before, place.after) for v, place in self.places if isinstance(place, PlaceHalo)}
        placed = {v: self.placement(v, place) for v, place in self.places}
        return MemoryPlan({v: p for v, p in placed.items() if p is not None}, arena, halos)

    def placement(self, value: Value, place: Place) -> Placement | None:
        """The placement with its names resolved; the root of a subview may be defined after the subview."""
        if isinstance(place, PlaceAt | PlaceHalo):
            return None if place.start is None else Offset(place.start)
        name = place.operand if isinstance(place, PlaceOver) else place.root
        base = self.values.get(name.text)
        if base is None:
            raise self.make_error(name, f"{value.name} is placed in {name.text}, which this net does not compute")
        return Subview(base, place.first, place.stop) if isinstance(place, PlaceIn) else Alias(base)

    def build_statements(self, body: Statements) -> None:
        for part in body:
            if isinstance(part, WeightDeclaration):
                self.build_weight(part)
            else:
                assert isinstance(part, Assignment)
                self.build_assignment(part)

    def build_weight(self, weight: WeightDeclaration) -> None:
        name, type, given = weight.typed.name, self.evaluate_type(weight.typed), self.evaluate(weight.data)
        called = self.frame.weight_name_of(name.text)
        if not type.is_static:
            raise self.make_error(name, f"{name.text} is {type}: all dimensions of a weight are known")
        if given is None:
            self.define(name, declare_weight(called, type))
            return
        if isinstance(given, str):
            data = self.weights.get(given[1:])
            if data is None:
                advice = 'Name the file of weights at the top: weights "weights.safetensors".'
                raise self.make_error(name, f"no weights with handle {given}", advice)
        else:
            data = self.make_tensor(name, given, type)
        if tuple(data.shape) != type.shape or data.dtype != DTYPES[type.dtype]:
            raise self.make_error(name, f"{name.text} is {type}, and its numbers are {tuple(data.shape)} {data.dtype}")
        constant = Constant(called, type, data=data)
        if isinstance(given, str) and constant.handle != given[1:]:
            advice = "The file of weights belongs to another net, or has been changed."
            raise self.make_error(name, f"{name.text} hashes to @{constant.handle}, not {given}", advice)
        self.define(name, constant)

    def make_tensor(self, name: Name, given: Any, type: TensorType) -> torch.Tensor:
        numbers = given if isinstance(given, tuple) else (given,)
        if len(numbers) != type.numel:
            raise self.make_error(name, f"{len(numbers)} numbers for {type}")
        try:
            return torch.tensor(numbers, dtype=DTYPES[type.dtype]).reshape(type.shape)
        except (TypeError, ValueError, RuntimeError):
            raise self.make_error(name, f"{name.text} is {type}, and its data is not {type.numel} numbers") from None

    def build_assignment(self, line: Assignment) -> None:
        node = self.build_node(line.call, [self.frame.value_name_of(t) for t in line.targets])
        if len(line.places) > len(line.targets):
            raise self.make_error(
                line.targets[0].name, f"{len(line.places)} placements for {len(line.targets)} results"
            )
        results = []
        for target, value in zip(line.targets, node.results, strict=True):
            self.check_type(target, value)
            results.append(replace(value, layout=target.layout))
        self.places += [(v, place) for v, place in zip(results, line.places, strict=False) if place is not None]
        self.emit([t.name for t in line.targets], replace(node, results=tuple(results)))

    def check_type(self, target: TypedName, value: Value) -> None:
        if target.type and (wanted := self.evaluate_type(target)) != value.type:
            raise self.make_error(target.name, f"{target.name.text} is {value.type}, not {wanted}")

    def build_node(self, call: CallSyntax, names: list[str]) -> Node:
        """The node for a call; nested calls become separate nodes, called name.0, name.1, ..."""
        inputs = tuple(self.build_operand(o, f"{names[0]}.{i}", call) for i, o in enumerate(call.operands))
        try:
            op = self.make_operator(call)
            types = op.infer_types([v.type for v in inputs])
        except ValueError as e:
            given = ", ".join(f"{v.name} {v.type}" for v in inputs)
            raise self.make_error(call.target, f"{call.target.text}: {e} (operands: {given})") from None
        if len(types) != len(names):
            raise self.make_error(call.target, f"{call.target.text} has {len(types)} results, not {len(names)}")
        results = tuple(Value(name, type) for name, type in zip(names, types, strict=True))
        return Node(op, inputs, results, location_of(call.target.token, self.file))

    def build_operand(self, written: Any, name: str, call: CallSyntax) -> Value:
        if isinstance(written, CallSyntax):
            return self.build_nested_call(written, name)
        if isinstance(written, Name):
            return self.lookup(written)
        called = call.target.text
        if called not in REGISTRY and called not in self.kernels:
            raise self.make_error(
                call.target,
                f"{called}: there is no operator or function of this name{did_you_mean(called, self.callable_names)}",
            )
        advice = f"Numbers are given by name, as in {called}(x, name=2)."
        raise self.make_error(call.target, f"{called} takes values, and one operand is not a value", advice)

    def build_nested_call(self, call: CallSyntax, name: str) -> Value:
        """The value of a nested call, under an unused name."""
        while name in self.values:
            name += ".a"
        with self.enter_call(call):
            return self.build_call(call, name)

    @contextmanager
    def enter_call(self, call: CallSyntax) -> Iterator[None]:
        """One call inside another, or the lines of a function. CompileError if they are too deep."""
        if self.depth == MAX_CALLS:
            raise self.make_error(call.target, f"calls are nested deeper than {MAX_CALLS}", "Name the inner results.")
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def count_work(self, name: Name) -> None:
        """One more value, round or call of a function. CompileError if there are too many."""
        self.work += 1
        if self.work > MAX_NODES:
            raise self.make_error(name, f"this text makes more than {MAX_NODES} values, rounds and calls of functions")

    def build_call(self, call: CallSyntax, name: str) -> Value:
        node = self.build_node(call, [name])
        self.nodes.append(node)
        return self.add_value(call.target, node.output)

    def make_operator(self, call: CallSyntax) -> Op:
        name = call.target.text
        if name in self.kernels:
            if call.attributes:
                raise ValueError("a kernel has no attributes")
            return ops.fused.Fused(self.kernels[name])
        if name == ops.fused.Fused.name:
            raise ValueError("a kernel is called by its own name")
        return make_op(name, {key: self.evaluate(value) for key, value in call.attributes.items()})

    def emit(self, names: list[Name], node: Node) -> None:
        self.nodes.append(node)
        for name, value in zip(names, node.results, strict=True):
            self.define(name, value)

    def define(self, name: Name, value: Value) -> Value:
        """Add a new value and bind the name to it."""
        self.bind_name(name, value)
        return self.add_value(name, value)

    def add_value(self, name: Name, value: Value) -> Value:
        self.count_work(name)
        if value.name in self.values:
            raise self.make_error(
                name, f"{value.name} is defined twice", "Values are defined once: rename one of them."
            )
        self.values[value.name] = value
        return value

    def bind_name(self, name: Name, value: Value) -> None:
        if not self.frame.can_define(name.text):
            raise self.make_error(name, f"{name.text} is defined twice", "Values are defined once: rename one of them.")
        self.frame.bindings[name.text], self.frame.definition_rounds[name.text] = value, self.frame.rounds
