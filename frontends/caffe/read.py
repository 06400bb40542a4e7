"""Reads a Caffe net from its files: a prototxt with its weights, or a caffemodel alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...compiler.ir import Graph
from ...compiler.specialize import Shapes, parse_dims
from ..files.caffemodel import read as read_caffemodel
from ..files.fork_schema import read_fork_schema
from ..files.message import Message
from ..files.prototxt import read as read_prototxt
from ..files.schema import CAFFE
from . import from_caffemodel
from .dialects import ChosenDialect, parse_dialects
from .net import build_graph
from .rules import State, select_layers
from .transforms import InputTransform, read_transforms
from .upgrade import upgrade_net
from .weights import WeightsGiven, open_file, open_weights


def read_message(
    path: Path, weights: WeightsGiven, outputs: Sequence[str], proto: str | Path | None = None
) -> tuple[Message, WeightsGiven]:
    """The NetParameter of a prototxt, with its weights as given; or of a caffemodel alone, with those in it.

    `proto` is the caffe.proto of a fork, with whose fields and numbers both files are read.
    """
    fork = read_fork_schema(proto) if proto is not None else None
    layout = fork.layout if fork else None
    if path.suffix == ".caffemodel" and weights is None:
        stored = read_caffemodel(path, layout)
        return from_caffemodel.read_net(stored, path, outputs, fork), stored
    if fork is None or not isinstance(weights, str | Path):
        return read_prototxt(path, fork or CAFFE), weights
    return read_prototxt(path, fork), open_file(weights, layout)


@dataclass(frozen=True, slots=True)
class CaffeNet:
    """A net's graph, its number of layers in the given state, and the preprocessing of its inputs, by name.

    `dialects` are those of layers that forks of Caffe define differently; `files` are those that were read.
    """

    graph: Graph
    layers: int
    transforms: dict[str, InputTransform]
    dialects: tuple[ChosenDialect, ...]
    files: tuple[Path, ...]


def read_caffe(
    path: Path,
    weights: WeightsGiven,
    state: State,
    shapes: Shapes,
    outputs: Sequence[str],
    lenient: bool,
    dialects: Sequence[str],
    warn: Callable[[str], None],
    proto: str | Path | None = None,
) -> CaffeNet:
    """The net of a prototxt, or of a caffemodel alone; `dialects` are NAME or TYPE=NAME, `proto` is a fork's schema.

    CompileError tells all that is wrong.
    """
    asked = parse_dialects(dialects)
    files = [path, *(Path(file) for file in (weights, proto) if isinstance(file, str | Path))]
    message, weights = read_message(path, weights, outputs, proto)
    sizes = {name: parse_dims(shape) for name, shape in shapes.items()}
    graph = build_graph(
        message,
        open_weights(weights),
        state=state,
        shapes=sizes,
        outputs=outputs,
        lenient=lenient,
        dialects=asked,
        warn=warn,
    )
    message = upgrade_net(message, [])
    kept = select_layers(message["layer"], state.with_file_stages(message), [])
    transforms = read_transforms(kept, {v.name: v.type for v in graph.inputs}, path.parent, warn)
    files += [made.file for made in transforms.values() if made.file]
    return CaffeNet(graph, len(kept), transforms, asked.chosen, tuple(files))
