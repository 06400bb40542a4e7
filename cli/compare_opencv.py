"""The two sides of `cortado compare --opencv`: a net here and in OpenCV, with the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..driver import read_net
from ..frontends.caffe.rules import State
from ..frontends.caffe.upgrade import upgrade_net
from ..frontends.files.caffemodel import WrittenLayer
from ..frontends.files.caffemodel import write as write_caffemodel
from ..frontends.files.message import Message
from ..frontends.files.prototxt import read as read_prototxt
from ..runtime.preprocess import Array
from .compare_arguments import RunConfig, group_files, make_runner
from .detections import pair_rows
from .options import make_options
from .random_numbers import RandomBlobs
from .runners import Arrays, NetRunner, OpenCVRunner, find_detections, make_graph_runner
from .screen import warn


def make_opencv_runners(
    files: Sequence[str], reading: dict[str, Any], way: RunConfig, seed: int | None
) -> tuple[NetRunner, OpenCVRunner]:
    """A net here and in OpenCV, with the weights of its file, or with the same random ones, named by `seed`."""
    if reading["start_at"]:
        raise click.UsageError("--start-at is not for --opencv, which runs nets from their inputs.")
    (net, weights), *more = group_files(files)
    if more or (weights is None and seed is None):
        raise click.UsageError(
            "--opencv compares one net with OpenCV: give its prototxt and its caffemodel, or --random-weights."
        )
    state = State(reading["phase"], reading["level"], frozenset(reading["stages"]))
    if weights is not None:
        ours = make_runner((net, weights), reading, way, "cortado", seed)
        return ours, OpenCVRunner("OpenCV", Path(net), Path(weights).read_bytes(), state)
    options = make_options(reading | {"target": way.target or "cpu"}, optimize=way.passes == "all")
    blobs = RandomBlobs(seed or 0)
    read = read_net(net, blobs, options)
    warn(read.warnings)
    ours = make_graph_runner("cortado", read.graph, options)
    return ours, OpenCVRunner("OpenCV", Path(net), make_caffemodel(Path(net), blobs.drawn), state)


def make_caffemodel(net: Path, drawn: Mapping[tuple[str, int], Array]) -> bytes:
    """What a .caffemodel of this prototxt holds, with these blobs by layer and index."""
    owned, written = dict[str, Array](), list[WrittenLayer]()
    for layer in upgrade_net(read_prototxt(net), [])["layer"]:
        blobs = layer_blobs(layer, drawn, owned)
        written.append(WrittenLayer(layer["name"], layer["type"], blobs, layer["bottom"], layer["top"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.caffemodel")
        write_caffemodel(path, net.stem, written)
        return path.read_bytes()


def layer_blobs(layer: Message, drawn: Mapping[tuple[str, int], Array], owned: dict[str, Array]) -> list[Array]:
    """The blobs of a layer, those of its `param { name }` as their owner has them; owners are added to `owned`."""
    blobs, params = list[Array](), layer["param"]
    while True:
        index = len(blobs)
        name = params[index]["name"] if index < len(params) else ""
        blob = drawn.get((layer["name"], index), owned.get(name))
        if blob is None:
            return blobs
        if name:
            owned.setdefault(name, blob)
        blobs.append(blob)


def align_detections(files: Sequence[str], reading: dict[str, Any], ours: Arrays, theirs: Arrays) -> Arrays:
    """`theirs` with rows of detections in the order of `ours`."""
    state = State(reading["phase"], reading["level"], frozenset(reading["stages"]))
    names = [n for n in find_detections(Path(files[0]), state) if n in ours and n in theirs]
    return theirs | {name: pair_rows(theirs[name], ours[name]) for name in names}
