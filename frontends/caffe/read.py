"""Reads a Caffe net from its files: a prototxt with its weights, or a caffemodel alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...compiler.ir import Graph
from ...compiler.specialize import Shapes, parse_dims
from ..files.caffemodel import read as read_caffemodel
from ..files.message import Message
from ..files.prototxt import read as read_prototxt
from . import from_caffemodel
from .dialects import ChosenDialect, parse_dialects
from .net import build_graph
from .rules import State, select_layers
from .transforms import InputTransform, read_transforms
from .upgrade import upgrade_net
from .weights import WeightsGiven, open_weights


def read_message(path: Path, weights: WeightsGiven, outputs: Sequence[str]) -> tuple[Message, WeightsGiven]:
    """The NetParameter of a prototxt, with its weights as given; or of a caffemodel alone, with those in it."""
    if path.suffix == ".caffemodel" and weights is None:
        stored = read_caffemodel(path)
        return from_caffemodel.read_net(stored, path, outputs), stored
    return read_prototxt(path), weights


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
) -> CaffeNet:
    """The net of a prototxt, or of a caffemodel alone; `dialects` are NAME or TYPE=NAME.

    CompileError tells all that is wrong.
    """
    asked = parse_dialects(dialects)
    files = [path, *([Path(weights)] if isinstance(weights, str | Path) else [])]
    message, weights = read_message(path, weights, outputs)
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
