"""Nets from files: a Caffe prototxt with its weights, a text in cortado's own language, or a compiled file's source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .compiler.errors import CompileError
from .compiler.ir import Graph
from .compiler.plan import PlannedGraph
from .compiler.specialize import Shapes, parse_dims, specialize
from .compiler.text import parse_planned
from .compiler.text import weights as text_weights
from .file_types import is_artifact
from .frontends.caffe import from_caffemodel
from .frontends.caffe import net as caffe_net
from .frontends.caffe.rules import State, select_layers
from .frontends.caffe.upgrade import upgrade_net
from .frontends.caffe.weights import Fill, open_weights
from .frontends.files.caffemodel import Weights
from .frontends.files.caffemodel import read as read_caffemodel
from .frontends.files.prototxt import read as read_prototxt
from .runtime.artifact import Source

WeightsGiven = str | Path | Fill | Weights | None
STDIN = Path("-")


def read_caffe(
    path: Path,
    weights: WeightsGiven,
    state: State,
    shapes: Shapes,
    outputs: Sequence[str],
    lenient: bool,
    warn: Callable[[str], None],
) -> tuple[Graph, int]:
    """The net of a prototxt, or of a caffemodel alone, and how many layers it has in that state.

    CompileError tells all that is wrong.
    """
    if path.suffix == ".caffemodel" and weights is None:
        weights = read_caffemodel(path)
        message = from_caffemodel.read_net(weights, path, outputs)
    else:
        message = read_prototxt(path)
    sizes = {name: parse_dims(shape) for name, shape in shapes.items()}
    graph = caffe_net.build_graph(
        message, open_weights(weights), state=state, shapes=sizes, outputs=outputs, lenient=lenient, warn=warn
    )
    message = upgrade_net(message, [])
    return graph, len(select_layers(message["layer"], state.with_file_stages(message), []))


def read_language(path: Path, weights: WeightsGiven, shapes: Shapes, outputs: Sequence[str]) -> PlannedGraph:
    """The net of a .net file, or of standard input, with the memory plan that its places say.

    `weights` is a file of tensors by handle, read in place of the one that the text names. A compiled net is such a
    file too, so that what `cortado show` prints of it can be compiled again.
    """
    if weights is not None and not isinstance(weights, str | Path):
        raise CompileError(f"{path}: a net in cortado's language takes its weights from a safetensors file")
    if weights is not None and Path(weights).suffix != ".safetensors" and not is_artifact(weights):
        advice = (
            "Weights of a .net are a .safetensors file, tensors named by handle, or a compiled net; a caffemodel "
            "needs a prototxt."
        )
        raise CompileError(f"{weights}: this is no file of weights for {path}", advice=advice)
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text("utf-8")
    except OSError as e:
        advice = "Give the path of a net in cortado's language."
        raise CompileError(f"{path}: {e.strerror or e}", advice=advice) from None
    except UnicodeDecodeError as e:
        advice = "A net in cortado's language is a text in UTF-8."
        raise CompileError(f"{path}: byte {e.start} is of no text in UTF-8", advice=advice) from None
    tensors = text_weights.load_tensors(Path(weights)) if weights is not None else None
    planned = parse_planned(text, "<stdin>" if path == STDIN else str(path), tensors)
    return specialize(planned, shapes, outputs)


def read_source_of_artifact(
    artifact: Source, path: Path, weights: WeightsGiven, shapes: Shapes, outputs: Sequence[str]
) -> PlannedGraph:
    """The net that a compiled file keeps for compiling it again: as the passes that look at no shape left it."""
    if weights is not None:
        raise CompileError(f"{path}: a compiled file holds its weights", advice="Give no other ones beside it.")
    return specialize(parse_planned(artifact.text, f"the source of {path}", artifact.weights), shapes, outputs)
