"""Writes Caffe nets in the current format: `layer` blocks, Input layers, blobs of float32 with their shapes.

The layers of the file are kept, each with its settings, and the numbers are those of the original, bit by bit; with
--fold, some are folded into others. What is written is read again, and has to be the graph that was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ...frontends.files.caffemodel_writer import WrittenLayer, write_net
from ...frontends.files.file_types import is_artifact
from ...frontends.files.message import Message
from ...frontends.files.protobuf import has_own_numbers, to_protobuf
from ...frontends.language import STDIN
from ...runtime.output import OutputStream
from ..exporter import Export, ExportedFile, ExportRequest
from .conversion import convert_graph, convert_layers
from .current_format import CaffeFile
from .stock import describe_foreign

SUFFIXES = (".prototxt", ".caffemodel")


class Caffe:
    """The exporter; see the module."""

    own_options: Mapping[str, str] = {"fold": "fold BatchNorm, Scale and Bias into weights, and drop Dropout"}
    takes_target = False

    def folder(self, request: ExportRequest) -> Path | None:
        """Files are named, and a folder is not made."""
        return None

    def paths(self, request: ExportRequest) -> tuple[Path, ...]:
        """OUT.caffemodel, if there may be weights, and OUT.prototxt; in a folder they are named after the net."""
        stem = Path(request.out)
        if request.out.endswith("/") or stem.is_dir():
            stem /= without_suffixes(Path(request.net.name)).name
        stem = without_suffixes(stem)
        has_weights = request.weights is not None or request.net.suffix != ".prototxt"
        model = [stem.with_name(f"{stem.name}.caffemodel")] if has_weights else []
        return (*model, stem.with_name(f"{stem.name}.prototxt"))

    def export(self, request: ExportRequest) -> Export:
        """The net, read as Caffe's files or, one in cortado's language or a compiled one, as a graph."""
        is_graph = is_artifact(request.net) or request.net.suffix == ".net" or request.net == STDIN
        found = convert_graph(request) if is_graph else convert_layers(request)
        made, learnt = found.file, [blob for layer in found.file.layers for blob in layer.blobs]
        *model, prototxt = self.paths(request)
        files = [ExportedFile(path, partial(write_weights, made)) for path in model if learnt or not is_graph]
        return Export(
            made.name or "net",
            (*files, ExportedFile(prototxt, partial(write_text, found.text))),
            inputs=found.inputs,
            facts=(
                ("layers", f"{len(made.layers)}"),
                *found.facts,
                ("weights", f"{sum(b.numel() for b in learnt):,} numbers in {len(learnt)} blobs" if files else "none"),
            ),
            notes=(*found.notes, *made.notes, *describe_foreign(made)),
            warnings=found.warnings,
        )


EXPORTER = Caffe()


def without_suffixes(path: Path) -> Path:
    """A path without .prototxt or .caffemodel at its end, and without what files for Caffe have after these."""
    while path.suffix in (*SUFFIXES, ".txt", ".h5") and path.stem:
        path = path.with_suffix("")
    return path


def write_weights(made: CaffeFile, file: OutputStream) -> None:
    """Write the layers with their names, types and blobs, as float32; and, if all have numbers, with all else.

    Then the file alone is a net. With settings of a fork, which have no number that other programs know, it is one
    beside its prototxt only: without bottoms and tops, it is not taken for a net of default settings.
    """
    messages = [layer.message for layer in made.layers]
    is_net = not any(map(has_own_numbers, messages)) and len({m["name"] for m in messages}) == len(messages)
    settings = {m["name"]: serialize(m) for m in messages if is_net}
    layers = (
        WrittenLayer(
            layer.message["name"],
            layer.message["type"],
            [blob.numpy() for blob in layer.blobs],
            layer.message["bottom"] if is_net else (),
            layer.message["top"] if is_net else (),
        )
        for layer in made.layers
    )
    write_net(file, made.name, layers, settings)
    if is_net:
        file.write(serialize(made.settings))


def serialize(message: Message) -> bytes:
    """The bytes of a layer, or of the net, but for what is written apart."""
    data: bytes = to_protobuf(message, ("name", "type", "bottom", "top", "blobs", "layer")).SerializeToString()
    return data


def write_text(text: str, file: OutputStream) -> None:
    file.write(text.encode())
