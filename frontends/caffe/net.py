"""Builds the graph of a NetParameter: inputs, layers in order, in-place writes, shared parameters, outputs.

The rules are Caffe's (net.cpp, Net::Init). All errors of a file are collected: the tops of a layer that fails are
marked as broken, and layers that read them are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...compiler.errors import CompileError, raise_all, sort_by_location
from ...compiler.ir import Graph, Value
from ...compiler.limits import MAX_NODES
from ...compiler.types import Dim
from ..files.message import Message
from . import fillers
from . import layers as layers
from .data_layers import constant_warnings
from .dialects import Dialects
from .importer import Importer, Warn
from .inputs import read_inputs
from .reachability import LayerEdges, reaching
from .rules import State, select_layers
from .transforms import find_transform_faults
from .unused_fields import UnusedField, find_unread
from .upgrade import upgrade_net
from .weights import WeightSource


def build_graph(
    message: Message,
    weights: WeightSource,
    *,
    state: State = State(),  # noqa: B008
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    outputs: Sequence[str] = (),
    lenient: bool = False,
    dialects: Dialects | None = None,
    filler: fillers.Filler = fillers.fill,
    warn: Warn = lambda sentence: None,
) -> Graph:
    """Build the graph of a NetParameter, with its weights.

    `shapes` override those of the inputs. `outputs` are the blobs to return, and restrict the net to the layers that
    they depend on; by default all blobs are returned that no layer reads. An unsupported field is an error or, if
    `lenient`, a warning. `dialects` are those that the user asks for, and record what layers have. `filler` makes the
    blobs of layers for which `weights` has none. Raises CompileErrors with everything that is wrong.
    """
    importer, found = import_layers(message, weights, state, shapes or {}, outputs, lenient, dialects, filler, warn)
    return importer.finish(found)


def import_layers(
    message: Message,
    weights: WeightSource,
    state: State,
    shapes: Mapping[str, Sequence[Dim]],
    outputs: Sequence[str],
    lenient: bool,
    dialects: Dialects | None,
    filler: fillers.Filler,
    warn: Warn,
) -> tuple[Importer, list[tuple[str, Value]]]:
    """Import the layers of a NetParameter that `outputs` depend on; returns the importer, and the outputs by name.

    Arguments and errors are those of `build_graph`.
    """
    dropped: list[CompileError] = []
    written, message = message, upgrade_net(message, dropped)
    if "layer" not in message:
        raise message.fault("there is no layer in this file", None, "A net is a list of layer { ... }.")
    if len(message["layer"]) > MAX_NODES:
        sentence = f"the net has {len(message['layer'])} layers, and the limit is {MAX_NODES}"
        raise message.fault(sentence, "layer", "", MAX_NODES)
    message.reset_reads()
    importer = Importer(message, written, weights, filler, lenient, dialects or Dialects(), warn)
    kept = select_layers(message["layer"], state.with_file_stages(message), importer.errors)
    edges = [LayerEdges(layer["type"], layer["bottom"], layer["top"]) for layer in kept]
    kept = [layer for layer, needed in zip(kept, reaching(edges, outputs), strict=True) if needed]
    importer.report(UnusedField(error) for error in dropped)
    importer.report(UnusedField(error, is_harmless=True) for error in state.ignored_fields(message))
    importer.report(find_unread(message, "the net"))
    if state.phase == "TRAIN":
        warn("the layers are those of phase TRAIN, and are computed as at TEST: Dropout drops nothing")
    importer.types = frozenset(layer["type"] for layer in kept)
    importer.report_unknown(kept)
    inputs = read_inputs(message, kept, dict(shapes), outputs, importer.errors, importer.spoiled)
    importer.broken.update(inputs.broken)
    importer.errors.extend(find_transform_faults(kept, {given.name: given.type for given in inputs.declared}))
    importer.report(UnusedField(error, is_harmless=True) for error in inputs.ignored)
    for layer in (l for l in kept if l["type"] == "Input" and l not in importer.spoiled):
        importer.report(find_unread(layer, f'layer "{layer["name"]}" (Input)', "input_param"))
    for given in inputs.declared:
        importer.add_input(given)
    for layer in inputs.layers:
        importer.add_layer(layer)
    found = importer.outputs(outputs)
    raise_all(sort_by_location([*importer.errors, *importer.parameters.errors()]))
    constant = () if inputs.declared else constant_warnings(inputs.layers)
    for sentence in (*constant, *importer.parameters.warnings()):
        warn(sentence)
    return importer, found
