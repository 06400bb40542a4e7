"""`--fold`: a net with BatchNorm, Scale and Bias folded into its convolutions and matrix products, and without Dropout.

The compiler's own passes fold the graph. A layer whose operators they leave alone keeps its message, one whose weights
they change gets new blobs, and one whose operators are gone is taken out. What cannot be written so stays as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from ...compiler.errors import CompileError
from ...compiler.ir import Constant, Node
from ...compiler.ops.channels import Scale
from ...frontends.caffe.layer_types import LAYERS
from ...frontends.caffe.message_builder import replace_fields
from ...frontends.caffe.net_layers import NetLayer, NetLayers
from ...passes.remove_dropout import is_identity
from .current_format import make
from .folded_graph import FoldedGraph, Kept, fold_graph, label, location, nodes_by_layer
from .rewiring import find_conflict, follow, joining_layers, name_blobs, renamed


@dataclass(frozen=True)
class FoldedNet:
    """A net after folding; counts of layers by what became of them, in words; and notes on what stays, and why."""

    net: NetLayers
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def fold_layers(net: NetLayers) -> FoldedNet:
    """Fold what can be folded. CompileError for a net without weights."""
    if not all(constant.is_bound for constant in net.graph.constants):
        raise CompileError("--fold changes weights, and there are none", advice="Give the caffemodel, too.")
    fixed = [*(name for name, _ in net.graph.returns), *(value.name for value in net.graph.inputs)]
    kept, staying, notes = Kept(), set[NetLayer](), list[str]()
    identities = {loc for loc, nodes in nodes_by_layer(net.graph).items() if all(map(is_identity, nodes))}
    while True:
        folded = fold_graph(net, kept)
        removed = folded.removed - staying
        names = name_blobs(net.layers, removed, fixed)
        wrong = follow(net.layers, removed, {}).aliased
        blob = wrong[0].message["top"][0] if wrong else find_conflict(net.layers, removed, names, fixed)
        if not blob:
            break
        wrong = wrong or [*joining_layers(blob, net.layers, removed)]
        layer = next((l for l in wrong if location(l) in identities), wrong[0])
        (staying if location(layer) in identities else kept.unfolded).add(layer)
        notes.append(f'{label(layer)} stays: without it, the blob "{blob}" would have another name or other readers')
    notes += [f"{label(layer)} stays as it is: folding would change more than its weights" for layer in kept.anchors]
    layers = tuple(rewrite(layer, folded, names) for layer in net.layers if layer not in removed)
    message = replace_fields(net.message, layer=tuple(layer.message for layer in layers))
    facts = (
        ("folded", count_types(layer for layer in removed if location(layer) not in identities)),
        ("removed", count_types(layer for layer in removed if location(layer) in identities)),
        ("made Scale", count_types(l for l, node in folded.changed.items() if is_made_scale(l, node))),
    )
    made = replace(net, graph=folded.graph, message=message, layers=layers)
    return FoldedNet(made, tuple(fact for fact in facts if fact[1]), (*notes, *folded.declined))


def is_made_scale(layer: NetLayer, node: Node) -> bool:
    return isinstance(node.op, Scale) and layer.message["type"] != "Scale"


def count_types(layers: Iterable[NetLayer]) -> str:
    """`2 BatchNorm, 1 Scale`."""
    counts = Counter(layer.message["type"] for layer in layers)
    return ", ".join(f"{count} {type}" for type, count in sorted(counts.items()))


def rewrite(layer: NetLayer, folded: FoldedGraph, names: dict[str, str]) -> NetLayer:
    """A layer that stays, with the new names of its blobs and, if it is changed, its new parameters."""
    if layer.inputs:
        return layer
    bottoms, tops = (tuple(renamed(layer, field, names)) for field in ("bottom", "top"))
    moved = replace(layer, message=replace_fields(layer.message, bottom=bottoms, top=tops))
    node = folded.changed.get(layer)
    if node is None:
        return moved
    return scale_layer(moved, node) if isinstance(node.op, Scale) else with_parameters(moved, node)


def scale_layer(layer: NetLayer, node: Node) -> NetLayer:
    """A Scale layer in the place of affine ones."""
    assert isinstance(node.op, Scale)
    blobs = constants(node)
    settings = {"axis": (node.op.axis,), "num_axes": (blobs[0].ndim,), "bias_term": (True,)}
    written = {name: values for name, values in settings.items() if values != (1,) or name == "bias_term"}
    fields = {name: layer.message.values[name] for name in ("name", "bottom", "top") if name in layer.message.values}
    message = make("LayerParameter", fields | {"type": ("Scale",), "scale_param": (make("ScaleParameter", written),)})
    return NetLayer(message, blobs)


def with_parameters(layer: NetLayer, node: Node) -> NetLayer:
    """A convolution or matrix product with new weights and a bias; they are shared with no other layer."""
    weight, bias = constants(node)
    shapes = [b.shape for b in layer.blobs]
    blobs = (weight.reshape(shapes[0]), bias.reshape(shapes[1] if len(shapes) > 1 else bias.shape))
    param = LAYERS[layer.message["type"]].param
    assert param is not None
    settings = replace_fields(layer.message[param], bias_term=())
    specs = tuple(replace_fields(spec, name=(), share_mode=()) for spec in layer.message["param"])
    return NetLayer(replace_fields(layer.message, **{param: (settings,), "param": specs}), blobs)


def constants(node: Node) -> tuple[torch.Tensor, ...]:
    """The data of an operator's parameters: of all operands but the first, which may be a constant, too."""
    return tuple(v.data for v in node.inputs[1:] if isinstance(v, Constant))
