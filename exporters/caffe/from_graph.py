"""Layers for the nodes of a graph that came from no Caffe file: a layer for each node, named after its first result.

A constant operand that is no learnt blob of a layer is made by a Parameter layer. Caffe's outputs are the blobs that no
layer reads: a value that is returned and also read, or under another name, is copied by a Split layer, and what is
neither read nor returned ends in a Silence layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...compiler.errors import CompileError, raise_all
from ...compiler.float32 import round_to_float32
from ...compiler.ir import Constant, Graph, Node, Value
from ...compiler.rewrite import UniqueNames
from ...frontends.caffe.net_layers import NetLayer, NetLayers
from ...frontends.files.message import Message
from ...frontends.files.schema import descriptor, field_types
from .current_format import input_layer, make
from .layer_draft import LayerDraft, NoLayer
from .node_layers import draft_layer


def layers_of_graph(graph: Graph) -> NetLayers:
    """The net as layers. CompileError tells all nodes that no layer of Caffe computes."""
    writer, errors = LayerWriter(graph), list[CompileError]()
    writer.add_inputs()
    for node in graph.nodes:
        try:
            writer.add_node(node, draft_layer(node))
        except (NoLayer, ValueError) as e:  # or numbers that are not one for each image axis
            sentence = f"{node.name} = {node.op.name}(...) cannot be written for Caffe: {e}"
            errors.append(CompileError(sentence, node.loc))
            writer.called |= {value: value.name for value in node.results}
    raise_all(errors)
    writer.add_outputs()
    message = make("NetParameter", {"name": (graph.name,)})
    return NetLayers(message, graph, (), tuple(writer.layers))


class LayerWriter:
    """The layers so far, and the names of their blobs."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.layers = graph, list[NetLayer]()
        self.blob_names, self.layer_names = UniqueNames(graph), UniqueNames()
        self.called: dict[Value, str] = {}

    def add_inputs(self) -> None:
        """Add an Input layer for each input. CompileError for one that Caffe cannot have."""
        for value in self.graph.inputs:
            if not value.type.is_static or value.type.dtype != "f32":
                sentence = f"{self.graph.name}: the input {value.name} is {value.type}"
                raise CompileError(f"{sentence}, and those of a Caffe file are f32 of fixed sizes")
            self.called[value] = value.name
            name = self.layer_names.fresh(value.name)
            self.layers.append(NetLayer(input_layer(name, [(value.name, value.type)])))

    def add_node(self, node: Node, draft: LayerDraft) -> None:
        """Add the layer of a node. Raises NoLayer for a learnt blob that is no constant."""
        learnt = [node.inputs[i] for i in draft.learnt]
        for value in learnt:
            if not isinstance(value, Constant):
                raise NoLayer(f"its operand {value.name} is computed, and that of Caffe's {draft.type} is learnt")
        bottoms = [self.blob(value) for i, value in enumerate(node.inputs) if i not in draft.learnt]
        self.called |= {value: self.blob_name(value) for value in node.results}
        settings = {draft.param: draft.settings} if draft.param else {}
        blobs = [*map(bound_data, learnt)]
        more = draft.more if all(blob is not None for blob in blobs) else ()
        shared = [value.name if len(self.graph.users[value]) > 1 else "" for value in learnt]
        tops = [self.called[v] for v in node.results]
        self.add(node.name, draft.type, bottoms, tops, settings, (*blobs, *more), shared)

    def blob(self, value: Value) -> str:
        """The name of the blob that holds a value; the layer that makes a constant is added."""
        if isinstance(value, Constant) and value not in self.called:
            self.called[value] = self.blob_name(value)
            shape = {"shape": {"dim": [*value.type.shape]}}
            self.add(value.name, "Parameter", [], [self.called[value]], {"parameter_param": shape}, [bound_data(value)])
        return self.called[value]

    def blob_name(self, value: Value) -> str:
        """The name of a result: its own, or another one if a copy of it has to have that."""
        is_copied = any(name == value.name for name, _ in self.graph.returns) and not self.is_output(value)
        return self.blob_names.fresh(f"{value.name}.0") if is_copied else value.name

    def is_output(self, value: Value) -> bool:
        """True if a value is an output of Caffe's net without a copy: returned once, by its name, and not read."""
        returned = [name for name, v in self.graph.returns if v is value]
        return returned == [value.name] and not self.graph.users.get(value)

    def add_outputs(self) -> None:
        """Add the layers by which the unread blobs are the outputs. CompileError for an input that is read, too."""
        for name, value in self.graph.returns:
            source = self.blob(value)
            if source != name:
                self.add(name, "Split", [source], [name])
            elif not self.is_output(value):
                sentence = f"{self.graph.name}: the input {name} is returned, and layers read it"
                raise CompileError(f"{sentence}: Caffe's outputs are the blobs that none reads")
        results = (v for node in self.graph.nodes for v in node.results)
        unread = [
            v for v in (*self.graph.inputs, *results) if not self.graph.users[v] and v not in self.graph.output_set
        ]
        if unread:
            self.add("silence", "Silence", [self.called[v] for v in unread], [])

    def add(
        self,
        name: str,
        type: str,
        bottoms: Sequence[str],
        tops: Sequence[str],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        blobs: Sequence[torch.Tensor | None] = (),
        shared: Sequence[str] = (),
    ) -> None:
        """Add a layer; its learnt blobs are left out if one is not bound to data, and have these names if shared."""
        fields: dict[str, tuple[Any, ...]] = {"name": (self.layer_names.fresh(name),), "type": (type,)}
        fields |= {field: tuple(values) for field, values in (("bottom", bottoms), ("top", tops)) if values}
        if any(shared):
            fields["param"] = tuple(make("ParamSpec", {"name": (name,)} if name else {}) for name in shared)
        known = field_types("LayerParameter")
        made = {param: to_message(known[param].message, values) for param, values in (settings or {}).items()}
        fields |= {param: (message,) for param, message in made.items() if message.values}
        bound = tuple(blob for blob in blobs if blob is not None)
        self.layers.append(NetLayer(make("LayerParameter", fields), bound if len(bound) == len(blobs) else ()))


def bound_data(value: Value) -> torch.Tensor | None:
    """The data of a constant; None if it is not bound. Raises NoLayer for numbers that are not float32."""
    if not isinstance(value, Constant) or not value.is_bound:
        return None
    if value.type.dtype != "f32":
        raise NoLayer(f"{value.name} is {value.type}, and Caffe's blobs are f32")
    return value.data


def to_message(type: str, settings: Mapping[str, Any]) -> Message:
    """A message with these settings, but for defaults; of a pair for height and width, both are kept."""
    known, values = field_types(type), dict[str, tuple[Any, ...]]()
    has_default = {f.name for f in descriptor(type).fields if f.has_default_value and not f.name.endswith(("_h", "_w"))}
    for name, given in settings.items():
        kind = known[name]
        if kind.message:
            values[name] = (to_message(kind.message, given),)
            continue
        several = given if isinstance(given, list) else [given]
        numbers = tuple(round_to_float32(v) if kind.type == "float" else v for v in several)
        if numbers and (name not in has_default or numbers != (kind.default,)):
            values[name] = numbers
    return make(type, values)
