"""A part of a net, from inner blobs on or up to some of its blobs, as a Caffe net of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...compiler.errors import CompileError
from ...compiler.ir import Graph
from ...compiler.specialize import start_at
from ...frontends.caffe.message_builder import replace_fields
from ...frontends.caffe.net_layers import NetLayer, NetLayers
from ...frontends.files.message import Message
from .current_format import LEFT_OUT, input_layer, make
from .rewiring import follow


def cut_net(net: NetLayers, names: Sequence[str]) -> tuple[Message, Graph]:
    """The NetParameter in which these blobs are inputs, and the graph that it has to have.

    What made the blobs makes others, which nothing reads behind the place where the blobs were made last. CompileError
    for what is no inner blob, or if no output depends on it.
    """
    rest = start_at(net.graph, names)
    layers: list[Message] = [layer.message for layer in net.layers]
    inputs = [input_layer(name, [(name, value.type)]) for name, value in zip(names, rest.inputs, strict=False)]
    legacy = [input_layer(name, [(name, type)]) for name, type in net.inputs]
    for name in names:
        writers = [i for i, layer in enumerate(layers) if name in layer["top"]]
        if not writers:
            raise CompileError(f'a Caffe file cannot start at "{name}", which a layer overwrites in place')
        for i in range(writers[-1] + 1):
            layers[i] = renamed(layers[i], name, f"{name}.computed")
    whole = {name: values for name, values in net.message.values.items() if name not in ("layer", *LEFT_OUT)}
    return make("NetParameter", {**whole, "layer": (*inputs, *legacy, *layers)}), rest


def renamed(layer: Message, old: str, new: str) -> Message:
    """A layer that reads and makes a blob under another name."""
    fields = {field: tuple(new if blob == old else blob for blob in layer[field]) for field in ("bottom", "top")}
    return replace_fields(layer, **fields)


def silence_others(net: NetLayers) -> tuple[NetLayers, tuple[str, ...]]:
    """The net without layers whose tops nobody wants, and with a Silence layer for single ones that are left.

    Caffe's outputs are the blobs that no layer reads. Notes tell of those that are wanted, and read all the same.
    """
    wanted = [name for name, _ in net.graph.returns]
    layers = list(net.layers)
    while useless := find_useless(layers, wanted):
        layers = [layer for layer in layers if layer not in useless]
    is_read = follow(layers, (), {}).is_read
    notes = tuple(f'"{name}" is read by layers, so that Caffe does not count it as an output' for name in wanted
                  if is_read.get(name))  # fmt: skip
    if others := unread_blobs(layers, wanted):
        taken = {layer.message["name"] for layer in layers}
        name = next(name for i in range(len(taken) + 1) if (name := f"silence{i or ''}") not in taken)
        fields = {"name": (name,), "type": ("Silence",), "bottom": tuple(others)}
        layers.append(NetLayer(make("LayerParameter", fields)))
    return replace(net, layers=tuple(layers)), notes


def unread_blobs(layers: Sequence[NetLayer], wanted: Sequence[str]) -> list[str]:
    """The blobs that no layer reads, without those that are wanted."""
    found = follow(layers, (), {})
    return [name for name in found.last if not found.is_read.get(name) and name not in wanted]


def find_useless(layers: Sequence[NetLayer], wanted: Sequence[str]) -> set[NetLayer]:
    """The layers that only make new blobs, none of which anybody reads or wants."""
    unread = {*unread_blobs(layers, wanted)}
    found = set[NetLayer]()
    for layer in layers:
        tops = {*layer.message["top"]}
        if tops and tops <= unread and not layer.inputs and tops.isdisjoint(layer.message["bottom"]):
            found.add(layer)
    return found
