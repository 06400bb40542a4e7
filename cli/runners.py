"""The runners of `cortado compare`: a compiled net, the reference, OpenCV, or recorded arrays."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..compiler import reference
from ..compiler.errors import CompileError
from ..compiler.ir import Graph
from ..compiler.specialize import reshape_inputs
from ..driver import Options, compile_graph
from ..frontends.caffe.lint import trace_dataflow
from ..frontends.caffe.lint.dataflow import BlobWrite
from ..frontends.caffe.rules import State
from ..frontends.files.file_types import is_artifact
from ..frontends.files.prototxt import read as read_prototxt
from ..runtime import Net
from ..runtime.feed import array_of
from ..runtime.preprocess import Array
from ..runtime.trace import trace
from .detections import caffe_rows

Arrays = dict[str, Array]
Shapes = dict[str, tuple[int, ...]]
SPLIT_COPY = re.compile(r".+_[0-9]+_split_[0-9]+")  # copies of a blob that Caffe inserts (insert_splits.cpp)
REFERENCE_DTYPES = {"reference": None, "reference-f64": torch.float64}


class NetRunner(Protocol):
    """One side of a comparison.

    `label` is its name in messages, `shapes` are the default shapes of its inputs, `value_names` the names of all
    values before any pass, empty if the side is not a net.
    """

    @property
    def label(self) -> str: ...

    @property
    def value_names(self) -> Collection[str]: ...

    @property
    def shapes(self) -> Shapes: ...

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        """Inputs, values and outputs by name, in the order in which they are computed."""


@dataclass(frozen=True)
class ReferenceRunner:
    """The reference implementation of each operator, in the net's dtypes or in float64."""

    label: str
    graph: Graph
    target: str

    @property
    def value_names(self) -> Collection[str]:
        return self.graph.values

    @property
    def shapes(self) -> Shapes:
        return {v.name: v.type.bounds for v in self.graph.inputs}

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        graph = self.graph
        wanted = {v.name: inputs[v.name].shape for v in graph.inputs}
        if any(v.type.dims != wanted[v.name] for v in graph.inputs):
            graph = reshape_inputs(graph, wanted)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in inputs.items() if name in wanted}
        return to_arrays(reference.evaluate_blobs(graph, tensors, REFERENCE_DTYPES[self.target]))


@dataclass(frozen=True)
class CompiledRunner:
    """A compiled net."""

    label: str
    net: Net
    value_names: Collection[str] = ()

    @property
    def shapes(self) -> Shapes:
        return {name: self.net.plan.slots[name].bounds for name in self.net.plan.inputs}

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        return to_arrays(trace(self.net, {name: inputs[name] for name in self.net.plan.inputs}))


@dataclass(frozen=True)
class RecordedRunner:
    """The arrays of an .npz: `blob:NAME`, `out:NAME` or NAME, as in pycaffe's net.blobs; inputs also `in:NAME`."""

    label: str
    arrays: Mapping[str, Array]
    value_names: Collection[str] = ()

    @property
    def shapes(self) -> Shapes:
        return {name: x.shape for name, x in self.inputs(()).items()}

    def inputs(self, names: Collection[str]) -> Arrays:
        """The recorded inputs of these names, and all arrays called `in:NAME`."""
        given = {name: self.arrays[name] for name in names if name in self.arrays}
        return given | {key[3:]: x for key, x in self.arrays.items() if key.startswith("in:")}

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        found: Arrays = {}
        for key, x in self.arrays.items():
            foreign = key.startswith(("in:", "param:", "shape:", "outshape:")) or SPLIT_COPY.fullmatch(key)
            if x.dtype.kind in "fiub" and not foreign:
                found[key.removeprefix("blob:").removeprefix("out:")] = x
        return found


@dataclass(frozen=True)
class OpenCVRunner:
    """OpenCV on the same files, without fusion, so that the outputs of all layers can be compared.

    Rows of detections are converted to Caffe's form. `caffemodel` is the content of a .caffemodel.
    """

    label: str
    prototxt: Path
    caffemodel: bytes
    state: State
    value_names: Collection[str] = ()

    @property
    def shapes(self) -> Shapes:
        return {}

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        try:
            import cv2  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            advice = "pip install opencv-python-headless==4.14.0.94: later ones cannot read Caffe's files."
            raise CompileError("--opencv: OpenCV is not installed", advice=advice) from None
        try:
            files = (np.frombuffer(data, np.uint8) for data in (self.prototxt.read_bytes(), self.caffemodel))
            net = cv2.dnn.readNetFromCaffe(*files)
            net.enableFusion(False)
            known = set(net.getLayerNames())
            for name, x in inputs.items():
                net.setInput(np.ascontiguousarray(x, np.float32), name)
            last = trace_dataflow(read_prototxt(self.prototxt), self.state).last
            layers = {
                b: w.producer.name for b, w in last.items() if w.producer is not None and w.producer.name in known
            }
            found = net.forward(list(layers.values())) if layers else ()
        except cv2.error as e:
            raise CompileError(f"OpenCV cannot run this net: {str(e).strip()}") from None
        arrays = {blob: np.asarray(x) for blob, x in zip(layers, found, strict=True)}
        images = max((len(x) for x in inputs.values()), default=1)
        rows = {blob: caffe_rows(arrays[blob], images) for blob in layers if is_detection(last[blob])}
        return arrays | rows


def is_detection(write: BlobWrite) -> bool:
    return write.producer is not None and write.producer.type == "DetectionOutput"


def find_detections(net: Path, state: State) -> list[str]:
    """The blobs of a prototxt that are rows of detections."""
    return [blob for blob, write in trace_dataflow(read_prototxt(net), state).last.items() if is_detection(write)]


def make_graph_runner(label: str, graph: Graph, options: Options) -> NetRunner:
    """A runner for a graph on a target, `reference` or `reference-f64`, with the passes of `options`."""
    if options.target in REFERENCE_DTYPES:
        return ReferenceRunner(label, graph, options.target)
    return CompiledRunner(label, compile_graph(graph, options).load(), graph.values)


def describe_producer(net: Path, state: State, blob: str) -> str:
    """The layer of a prototxt that produces a blob's last value, and its line; "" if it cannot be determined."""
    if net.suffix in (".net", ".npz", ".caffemodel") or is_artifact(net):
        return ""
    try:
        writing = trace_dataflow(read_prototxt(net), state).last.get(blob)
    except CompileError:
        return ""
    if writing is None or writing.producer is None:
        return ""
    loc = writing.producer.message.loc
    return f"{writing.producer.label} in line {loc.line}" if loc else writing.producer.label


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: array_of(tensor) for name, tensor in tensors.items()}
