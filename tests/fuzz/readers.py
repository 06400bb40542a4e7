"""The six readers as functions of bytes, each up to the last thing that the product does with such a file.

A reader returns, or refuses with one of REFUSALS. Whatever else it raises is a finding.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from cortado import passes
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.targets import target as target
from cortado.compiler.text import parse_planned, show
from cortado.compiler.text.weights import weights_by_handle
from cortado.frontends.caffe import from_caffemodel
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import open_weights
from cortado.frontends.files import caffemodel, hdf5, prototxt, textformat
from cortado.frontends.files.fork_schema import read_fork_schema
from cortado.runtime.artifact import Artifact, ArtifactError, read
from cortado.runtime.net import Net

from .containers import repair
from .start import FOLDER

REFUSALS = (CompileError, ArtifactError)
# What is read by the schemas: settings that some of them have.
SETTINGS = """layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { pool: 1 kernel_size: 2 }
  relu_param { glow: 1.5 } lrn_param { local_size: 5 alpha: 1 beta: "2" } glow_param { level: 1 }
  concat_param { axis: 1 } }
"""
MAX_COMPUTED = 1 << 20  # elements of all values, up to which a net is compiled or run here: more takes time, not care


def read_prototxt(data: bytes) -> None:
    """From the text to the graph after all passes; weights are declared only."""
    message = prototxt.parse(textformat.decode(data), "net.prototxt")
    optimize(build_graph(message, open_weights(None)))


def read_caffemodel(data: bytes) -> None:
    """All weights, and the net that the file's own settings tell."""
    path = write_scratch(data, "net.caffemodel")
    weights = caffemodel.read(path)
    for layer in weights.layers:
        for blob in layer.blobs:
            np.asarray(blob.data, np.float32)
    build_graph(from_caffemodel.read_net(weights, path, ()), open_weights(weights))


def read_hdf5(data: bytes) -> None:
    """All weights."""
    for layer in hdf5.read(write_scratch(data, "net.caffemodel.h5")).layers:
        for blob in layer.blobs:
            np.asarray(blob.data, np.float32)


def read_language(data: bytes) -> None:
    """From the text to a verified graph; what that prints is read again, and prints the same."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    planned = parse_planned(text, "net.net", {})
    shown = show(*planned)
    again = parse_planned(shown, "shown.net", weights_by_handle(planned.graph))
    if show(*again) != shown:
        raise AssertionError("what is shown reads back as another net")


def read_artifact(data: bytes) -> None:
    """As it is, and with its hashes made right, as a stranger would: read, checked, loaded, run on zeros."""
    wanted: ArtifactError | None = None
    for content in (data, repair(data)):
        if content is None:
            continue
        try:
            run_artifact(read(write_scratch(content, "net.cortado")))
        except ArtifactError as e:
            wanted = e
    if wanted:
        raise wanted


def run_artifact(artifact: Artifact) -> None:
    """Load and call a net on zeros, if it is small; its source is parsed.

    A native net is written as C, which loading it checks, and not compiled: that takes seconds for each plan.
    """
    size = sum(prod(slot.bounds) for slot in artifact.plan.slots.values())
    if artifact.plan.arena > MAX_COMPUTED * 4 or size > MAX_COMPUTED:
        return
    if artifact.plan.runner == "native":
        artifact.check()
    else:
        net = Net.from_artifact(artifact)
        net({name: np.zeros(slot_shape(net, name), np.float32) for name in net.plan.inputs})
    parse_planned(artifact.source, "source.net", artifact.weights)


def read_schema(data: bytes) -> None:
    """A fork's caffe.proto, by which a prototxt and a caffemodel are read; these stay the same."""
    path = write_scratch(data, "fork.proto")
    schema = read_fork_schema(path)
    for name in schema.ours.values():
        schema.field_types(name)
    prototxt.parse(SETTINGS, "net.prototxt", schema=schema)
    weights = caffemodel.parse(fork_model(), "net.caffemodel", schema.layout)
    from_caffemodel.read_net(weights, "net.caffemodel", (), schema)


@cache
def fork_model() -> bytes:
    """A caffemodel by the numbers of the seed."""
    net: Any = read_fork_schema(FOLDER / "schema" / "fork.proto").own.message_class("NetParameter")()
    text_format.Parse('name: "n" layer { name: "p" type: "Pooling" pooling_param { pool: MAX kernel_size: 2 } }', net)
    blob = net.layer[0].blobs.add()
    blob.shape.dim.extend((2, 1))
    blob.data.extend((1, 2))
    return bytes(net.SerializeToString())


def slot_shape(net: Net, name: str) -> tuple[int, ...]:
    return net.plan.slots[name].bounds


def optimize(graph: Graph) -> None:
    """Run all passes for the CPU, if the net is small."""
    if sum(v.type.numel for v in graph.values.values()) <= MAX_COMPUTED:
        passes.run(graph, passes.Context(target("onednn")))


@cache
def scratch_folder(process: int) -> Path:
    """A folder in memory for the files of this process, where the system has one."""
    root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=f"cortado-fuzz-{process}-", dir=root))


def write_scratch(data: bytes, name: str) -> Path:
    """A new file with these bytes: a mapping of the one before may still be in use, so that one is replaced."""
    path = scratch_folder(os.getpid()) / name
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


READERS: dict[str, Callable[[bytes], None]] = {
    "prototxt": read_prototxt,
    "caffemodel": read_caffemodel,
    "hdf5": read_hdf5,
    "language": read_language,
    "artifact": read_artifact,
    "schema": read_schema,
}


def attempt(reader: str, data: bytes) -> BaseException | None:
    """What a reader raises that is no refusal; None if all is well."""
    try:
        READERS[reader](data)
    except REFUSALS:
        return None
    except Exception as e:
        return e
    return None


def category(error: BaseException) -> str:
    """Findings of one sort: the exception's type and the innermost line of ours that it went through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "cortado" in code.co_filename or "/tests/" not in code.co_filename:
            name = Path(code.co_filename)
            if name.parts[-2:-1] and "site-packages" not in name.parts:
                place = f"{name.parent.name}/{name.name}:{code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__} in {place}"
