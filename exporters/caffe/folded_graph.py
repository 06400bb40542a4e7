"""Folds BatchNorm, Scale and Bias on the graph, and tells for each layer what became of its operators.

A layer can be written anew only if one operator stands for it. Where folding would leave another, it is run again with
what it may not touch made an output: passes never change a value that the net returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ...compiler.errors import Loc
from ...compiler.ir import Constant, Graph, Node
from ...compiler.ops.channels import Affine, Scale
from ...compiler.ops.shape import Reshape
from ...compiler.ops.weighted import Weighted
from ...frontends.caffe.net_layers import NetLayer, NetLayers
from ...passes import Context, GraphPass, run
from ...passes.fold_batchnorm import fold_batchnorm
from ...passes.hoist_scale import hoist_scale
from ...passes.remove_dropout import remove_dropout

WITH_BIAS_TERM = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution", "InnerProduct")
FOLDING: tuple[GraphPass, ...] = (remove_dropout, hoist_scale, fold_batchnorm)  # in the order of the pipeline
Nodes = Mapping[Loc | None, list[Node]]


@dataclass(frozen=True)
class FoldedGraph:
    """The graph after folding, and by layer: those that are gone, and the operator that stands for a changed one.

    `declined` are sentences on what the passes left alone, and why.
    """

    graph: Graph
    removed: frozenset[NetLayer]
    changed: Mapping[NetLayer, Node]
    declined: tuple[str, ...]


@dataclass
class Kept:
    """What folding has to leave alone: layers that may not be folded into others, and those that take no others."""

    unfolded: set[NetLayer] = field(default_factory=set)
    anchors: set[NetLayer] = field(default_factory=set)
    hoists: bool = True

    @property
    def size(self) -> tuple[int, int, bool]:
        return len(self.unfolded), len(self.anchors), self.hoists


def fold_graph(net: NetLayers, kept: Kept) -> FoldedGraph:
    """Fold as far as layers can be written; what has to stay is added to `kept`."""
    before = nodes_by_layer(net.graph)
    while True:
        size = kept.size
        graph, declined = fold_once(net, before, kept)
        after = nodes_by_layer(graph)
        removed, changed = set[NetLayer](), dict[NetLayer, Node]()
        for layer in net.layers:
            old, new = (nodes.get(location(layer), []) for nodes in (before, after))
            if is_unchanged(old, new):
                continue
            if not new and len(layer.message["bottom"]) == len(layer.message["top"]) == 1:
                removed.add(layer)
            elif not new:
                kept.unfolded.add(layer)
            elif can_be_written(layer, old, new):
                changed[layer] = new[-1]
            elif is_affine(old) and kept.hoists:
                kept.hoists = False
            else:
                kept.anchors.add(layer)
        if kept.size == size:
            return FoldedGraph(graph, frozenset(removed), changed, declined)


def fold_once(net: NetLayers, nodes: Nodes, kept: Kept) -> tuple[Graph, tuple[str, ...]]:
    """The graph after the passes, which leave alone what is kept; and what else they left alone, and why."""
    graph = net.graph
    values = [n.inputs[0] for layer in kept.unfolded for n in nodes[location(layer)][:1]]
    values += [v for layer in kept.anchors for n in nodes[location(layer)] for v in n.results]
    guards = tuple((f"kept {i}", v) for i, v in enumerate(dict.fromkeys(values)))
    passes, context = [p for p in FOLDING if kept.hoists or p is not hoist_scale], Context()
    made = run(replace(graph, returns=(*graph.returns, *guards)), context, passes).graph
    ours = tuple(f": {v.name} is an output of the net" for v in values if v not in graph.output_set)
    labels = {location(layer): label(layer) for layer in net.layers if layer.blobs}
    named = {n.name: labels[n.loc] for n in graph.nodes if n.loc in labels}
    declined = tuple(
        f"{named[note.value]} is {note.sentence}"
        for note in context.notes
        if not note.done and note.value in named and not note.sentence.endswith(ours)
    )
    return replace(made, returns=made.returns[: len(graph.returns)]), declined


def label(layer: NetLayer) -> str:
    return f'layer "{layer.message["name"]}" ({layer.message["type"]})'


def nodes_by_layer(graph: Graph) -> Nodes:
    """The operators of each layer, by the location that both have."""
    found: dict[Loc | None, list[Node]] = {}
    for node in graph.nodes:
        found.setdefault(node.loc, []).append(node)
    return found


def location(layer: NetLayer) -> Loc:
    """The location that a layer's operators have."""
    return layer.message.loc_of("name")


def is_unchanged(old: Iterable[Node], new: Iterable[Node]) -> bool:
    """True if the operators are the same, with the same constants."""
    return [signature(n) for n in old] == [signature(n) for n in new]


def signature(node: Node) -> tuple[object, ...]:
    """The operator and its constants."""
    return (node.op, *(v if isinstance(v, Constant) else None for v in node.inputs))


def is_affine(nodes: Iterable[Node]) -> bool:
    return all(isinstance(n.op, Affine) for n in nodes)


def can_be_written(layer: NetLayer, old: list[Node], new: list[Node]) -> bool:
    """True if the only new operator has the form of the layer's, or is a scale that stands for affine operators.

    It is in the layer's place only if it makes as much: a scale that was hoisted is of a part.
    """
    old, new = without_reshape(old), without_reshape(new)
    if not old or len(new) != 1 or new[0].results[0].type != old[-1].results[0].type:
        return False
    if len(layer.message["bottom"]) != 1 or len(layer.message["top"]) != 1:
        return False
    if isinstance(new[0].op, Scale):
        return is_affine(old)
    if len(old) != 1 or not isinstance(new[0].op, Weighted) or new[0].op != old[0].op or not layer.blobs:
        return False
    constants = [v.data for v in old[0].inputs[1:] if isinstance(v, Constant)]
    if len(constants) != len(layer.blobs) or any(
        c.numel() != b.numel() for c, b in zip(constants, layer.blobs, strict=True)
    ):
        return False
    return len(layer.blobs) == 2 or layer.message["type"] in WITH_BIAS_TERM


def without_reshape(nodes: list[Node]) -> list[Node]:
    """The operators without the one by which a layer reads a blob whose storage was overwritten in another shape."""
    return nodes[1:] if nodes and isinstance(nodes[0].op, Reshape) else nodes
