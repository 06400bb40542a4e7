"""From a net, as layers of Caffe's or as a graph, to a proved Caffe file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...compilation import Options
from ...compiler.errors import CompileError
from ...compiler.specialize import parse_dims
from ...compiler.types import AtMost
from ...driver import read_net
from ...frontends.caffe.dialects import Dialects, parse_dialects
from ...frontends.caffe.importer import Warn
from ...frontends.caffe.net_layers import NetLayers, import_net_layers
from ...frontends.caffe.read import read_message
from ...frontends.caffe.rules import State
from ...frontends.caffe.weights import WeightSource, open_weights
from ...frontends.files.message import Message
from ...passes import Context, run
from ..exporter import ExportRequest
from .caffe_fields import to_caffe_fields
from .current_format import CaffeFile, clean, to_current_format
from .folded_graph import FOLDING
from .folding import FoldedNet, fold_layers
from .from_graph import layers_of_graph
from .parts import cut_net, silence_others
from .proof import AnotherNet, find_difference, prove


@dataclass(frozen=True)
class Conversion:
    """A file to be written, its text, the files it was made from, and what there is to say of it."""

    file: CaffeFile
    text: str
    inputs: tuple[str | Path, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def convert_layers(request: ExportRequest) -> Conversion:
    """The file of a net that was read from Caffe's files: the same layers. CompileError tells what is wrong."""
    warnings, dialects = list[str](), parse_dialects(request.options.dialects)
    refuse_unknown_sizes(request.options.shapes)
    fold = bool(request.own.get("fold"))
    read = read_part if request.options.start_at else read_layers
    net, notes = clean(read(request, dialects, warnings))
    net, read_outputs = silence_others(net)
    folded = fold_layers(net) if fold else FoldedNet(net)
    made = to_current_format(folded.net, dialects.chosen)
    text, outputs = made.text(), [name for name, _ in net.graph.returns] if read_outputs else []
    try:
        prove(text, made, folded.net.graph, request.options, dialects, outputs=outputs, folded=fold)
    except AnotherNet as e:
        raise RuntimeError(f"what is written for {net.graph.name} reads as another net: {e}") from None
    return Conversion(made, text, (), folded.facts, (*notes, *read_outputs, *folded.notes), tuple(warnings))


def refuse_unknown_sizes(shapes: Mapping[str, Sequence[int | str]]) -> None:
    """CompileError for a size that is known only at run time."""
    for name, shape in shapes.items():
        if any(isinstance(d, AtMost) for d in parse_dims(shape)):
            advice = "Give one size; Caffe's users reshape the net."
            raise CompileError(f'the input "{name}" of a Caffe file has fixed sizes', advice=advice)


def read_layers(request: ExportRequest, dialects: Dialects, warnings: list[str]) -> NetLayers:
    """The layers of the net. CompileError tells all that is wrong with its files."""
    options = request.options
    message, weights = read_message(request.net, request.weights, options.outputs, options.proto)
    return import_selected(message, open_weights(weights), options, dialects, warnings.append)


def read_part(request: ExportRequest, dialects: Dialects, warnings: list[str]) -> NetLayers:
    """The layers behind the blobs that the net is to start at."""
    options = request.options
    later = {name: shape for name, shape in options.shapes.items() if name in options.start_at}
    first = {name: shape for name, shape in options.shapes.items() if name not in later}
    message, weights = read_message(request.net, request.weights, options.outputs, options.proto)
    source = open_weights(weights)
    whole = import_selected(message, source, replace(options, shapes=first), dialects, warnings.append)
    part, wanted = cut_net(whole, list(dict.fromkeys(options.start_at)))
    outputs = tuple(name for name, _ in whole.graph.returns)
    kept = {value.name for value in wanted.inputs}
    rest = replace(options, outputs=outputs, shapes={name: s for name, s in options.shapes.items() if name in kept})
    net = import_selected(part, source, rest, parse_dialects(options.dialects), lambda sentence: None)
    if not later and (difference := find_difference(wanted, net.graph)):
        started = ", ".join(options.start_at)
        raise CompileError(f"{request.net}: a Caffe file that starts at {started} would be another net: {difference}")
    return net


def import_selected(
    message: Message, source: WeightSource, options: Options, dialects: Dialects, warn: Warn
) -> NetLayers:
    """The layers that these options select, in Caffe's fields."""
    net = import_net_layers(
        message,
        source,
        state=State(options.phase, options.level, frozenset(options.stages)),
        shapes={name: parse_dims(shape) for name, shape in options.shapes.items()},
        outputs=options.outputs,
        lenient=options.lenient,
        dialects=dialects,
        warn=warn,
    )
    return to_caffe_fields(net)


def convert_graph(request: ExportRequest) -> Conversion:
    """The file of a net in cortado's language, or of a compiled one: a layer for each node.

    CompileError tells which nodes no layer computes.
    """
    found = read_net(request.net, request.weights, request.options)
    graph = found.graph
    if len({constant.is_bound for constant in graph.constants}) > 1:
        raise CompileError(f"{request.net}: some weights have data, and some have none", advice="Give all of them.")
    if request.own.get("fold"):
        graph = run(graph, Context(), FOLDING).graph
    made = to_current_format(layers_of_graph(graph), ())
    text = made.text()
    try:
        prove(text, made, graph, request.options, Dialects())
    except AnotherNet as e:
        raise CompileError(f"{e} cannot be written for Caffe: its layer of that kind computes something else") from None
    except CompileError as e:
        raise CompileError(f"{request.net} cannot be written for Caffe: {e.message}") from None
    notes = [f'what was said of pictures for "{name}" is not in Caffe\'s files' for name in found.preprocessing]
    return Conversion(made, text, found.files, (), tuple(notes), found.warnings)
