"""Nets in cortado's own language: from a file or standard input, or from the source that a compiled file keeps."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ..compiler.encodings import decode_utf8
from ..compiler.errors import CompileError
from ..compiler.plan import PlannedGraph
from ..compiler.specialize import Shapes, specialize
from ..compiler.text import parse_planned
from ..compiler.text.parse import resolve, weights_beside
from ..compiler.text.syntax import read_tree
from ..compiler.text.weights import load_tensors
from ..compiler.text_limits import read_limited, read_stream
from .caffe.weights import WeightsGiven
from .files.file_types import is_artifact, refuse_library

STDIN = Path("-")


def read_language(
    path: Path, weights: WeightsGiven, shapes: Shapes, outputs: Sequence[str]
) -> tuple[PlannedGraph, tuple[Path, ...]]:
    """The net of a .net file, or of standard input, with the memory plan of its placements; and the files read.

    `weights` is a file of tensors by handle, read in place of the one that the text names. A compiled net is such a
    file too, so that what `cortado show` prints of it can be compiled again.
    """
    if weights is not None and not isinstance(weights, str | Path):
        raise CompileError(f"{path}: a net in cortado's language takes its weights from a safetensors file")
    if weights is not None:
        refuse_library(weights)
    if weights is not None and Path(weights).suffix != ".safetensors" and not is_artifact(weights):
        advice = (
            "Weights of a .net are a .safetensors file, tensors named by handle, or a compiled net; a caffemodel "
            "needs a prototxt."
        )
        raise CompileError(f"{weights}: this is no file of weights for {path}", advice=advice)
    try:
        if path == STDIN:
            text = read_stream(sys.stdin.buffer, "<stdin>").decode("utf-8")
        else:
            text = decode_utf8(read_limited(path), str(path))
    except OSError as e:
        advice = "Give the path of a net in cortado's language."
        raise CompileError(f"{path}: {e.strerror or e}", advice=advice) from None
    except UnicodeDecodeError as e:
        advice = "A net in cortado's language is a text in UTF-8."
        raise CompileError(f"<stdin>: byte {e.start} is not UTF-8", advice=advice) from None
    name = "<stdin>" if path == STDIN else str(path)
    tree = read_tree(text, name)
    beside = Path(weights) if weights is not None else weights_beside(tree, name)
    planned = resolve(tree, text, name, load_tensors(beside) if beside else {})
    files = [] if path == STDIN else [path]
    return specialize(planned, shapes, outputs), (*files, *([beside] if beside else []))


def parse_source(
    text: str, tensors: Mapping[str, Tensor], path: Path, weights: WeightsGiven, shapes: Shapes, outputs: Sequence[str]
) -> PlannedGraph:
    """The source in a compiled file: the net after the passes that do not depend on shapes.

    `tensors` are its weights by handle. CompileError if `weights` are given beside them.
    """
    if weights is not None:
        raise CompileError(f"{path}: a compiled file holds its weights", advice="Give no other ones beside it.")
    return specialize(parse_planned(text, f"the source of {path}", tensors), shapes, outputs)
