"""Writes Caffe nets in the current format: `layer` blocks, Input layers, blobs of float32 with their shapes.

The layers of the file are kept, each with its settings, and the numbers are those of the original, bit by bit; with
--fold, some are folded into others. What is written is read again, and has to be the graph that was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ...compiler.errors import CompileError
from ...compiler.specialize import parse_dims
from ...compiler.types import AtMost
from ...frontends.caffe.dialects import Dialects, parse_dialects
from ...frontends.caffe.net_layers import NetLayers, import_net_layers
from ...frontends.caffe.read import read_message
from ...frontends.caffe.rules import State
from ...frontends.caffe.weights import open_weights
from ...frontends.files.caffemodel_writer import WrittenLayer, write_net
from ...frontends.files.file_types import is_artifact
from ...runtime.output import OutputStream
from ..exporter import Export, ExportedFile, ExportRequest
from .current_format import CaffeFile, clean, to_current_format
from .folding import FoldedNet, fold_layers
from .proof import prove
from .stock import describe_foreign

SUFFIXES = (".prototxt", ".caffemodel")


class Caffe:
    """The exporter; see the module."""

    own_options: Mapping[str, str] = {"fold": "fold BatchNorm, Scale and Bias into weights, and drop Dropout"}
    takes_target = False

    def paths(self, request: ExportRequest) -> tuple[Path, ...]:
        """OUT.caffemodel, if there are weights, and OUT.prototxt; in a folder they are named after the net."""
        stem = Path(request.out)
        if request.out.endswith("/") or stem.is_dir():
            stem /= without_suffixes(Path(request.net.name)).name
        stem = without_suffixes(stem)
        has_weights = request.weights is not None or request.net.suffix == ".caffemodel"
        model = [stem.with_name(f"{stem.name}.caffemodel")] if has_weights else []
        return (*model, stem.with_name(f"{stem.name}.prototxt"))

    def export(self, request: ExportRequest) -> Export:
        warnings, dialects = list[str](), parse_dialects(request.options.dialects)
        refuse_options(request)
        fold = bool(request.own.get("fold"))
        net, notes = clean(read_layers(request, dialects, warnings))
        folded = fold_layers(net) if fold else FoldedNet(net)
        made = to_current_format(folded.net, dialects.chosen)
        text = made.text()
        prove(text, made, folded.net.graph, request.options, dialects, without_dropout=fold)
        *model, prototxt = self.paths(request)
        files = [ExportedFile(path, partial(write_weights, made)) for path in model]
        learnt = [blob for layer in made.layers for blob in layer.blobs]
        return Export(
            net.graph.name,
            (*files, ExportedFile(prototxt, partial(write_text, text))),
            facts=(
                ("layers", f"{len(made.layers)}"),
                *folded.facts,
                ("weights", f"{sum(b.numel() for b in learnt):,} numbers in {len(learnt)} blobs" if model else "none"),
            ),
            notes=(*notes, *folded.notes, *made.notes, *describe_foreign(made)),
            warnings=tuple(warnings),
        )


EXPORTER = Caffe()


def without_suffixes(path: Path) -> Path:
    """A path without .prototxt or .caffemodel at its end, and without what files for Caffe have after these."""
    while path.suffix in (*SUFFIXES, ".txt", ".h5") and path.stem:
        path = path.with_suffix("")
    return path


def refuse_options(request: ExportRequest) -> None:
    """CompileError for what is no net of Caffe's, or has no meaning in its format."""
    if is_artifact(request.net) or request.net.suffix == ".net" or str(request.net) == "-":
        sentence = f"{request.net}: only a net that was read from Caffe's files can be written as such"
        raise CompileError(sentence, advice="Give its prototxt, and its weights.")
    if request.options.start_at:
        raise CompileError("Caffe's format is written from the first layer on, not from an inner blob")
    for name, shape in request.options.shapes.items():
        if any(isinstance(d, AtMost) for d in parse_dims(shape)):
            advice = "Give one size; Caffe's users reshape the net."
            raise CompileError(f'the input "{name}" of a Caffe file has fixed sizes', advice=advice)


def read_layers(request: ExportRequest, dialects: Dialects, warnings: list[str]) -> NetLayers:
    """The layers of the net. CompileError tells all that is wrong with its files."""
    options = request.options
    message, weights = read_message(request.net, request.weights, options.outputs)
    return import_net_layers(
        message,
        open_weights(weights),
        state=State(options.phase, options.level, frozenset(options.stages)),
        shapes={name: parse_dims(shape) for name, shape in options.shapes.items()},
        outputs=options.outputs,
        lenient=options.lenient,
        dialects=dialects,
        warn=warnings.append,
    )


def write_weights(made: CaffeFile, file: OutputStream) -> None:
    """Write the layers with their names, types and blobs, as float32."""
    layers = (
        WrittenLayer(layer.message["name"], layer.message["type"], [blob.numpy() for blob in layer.blobs])
        for layer in made.layers
    )
    write_net(file, made.name, layers)


def write_text(text: str, file: OutputStream) -> None:
    file.write(text.encode())
