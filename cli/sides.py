"""What can stand on a side of `cortado compare`: a net run in some way, another program, or numbers from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..compiler import reference
from ..compiler.errors import CompileError
from ..compiler.ir import Graph
from ..driver import Options, Report, lowered, recompile
from ..frontends.caffe.lint import wired
from ..frontends.caffe.rules import State
from ..frontends.files.prototxt import read as read_prototxt
from ..reading import reshaped
from ..runtime import Net
from ..runtime.feed import array_of
from ..runtime.preprocess import Array
from ..runtime.trace import trace

Arrays = dict[str, Array]
Shapes = dict[str, tuple[int, ...]]
PRECISIONS = {"reference": None, "reference-f64": torch.float64}


class Side(Protocol):
    """`label` is what people call it; `shapes` are those of its inputs, as it is without being asked for others."""

    @property
    def label(self) -> str: ...

    @property
    def shapes(self) -> Shapes: ...

    def values(self, inputs: Mapping[str, Array]) -> Arrays:
        """Inputs, values and outputs by name, in the order in which they are made."""


@dataclass(frozen=True)
class Meaning:
    """The operators' own meaning, run plainly: with the numbers as they come, or in float64."""

    label: str
    graph: Graph
    target: str

    @property
    def shapes(self) -> Shapes:
        return {v.name: v.type.bounds for v in self.graph.inputs}

    def values(self, inputs: Mapping[str, Array]) -> Arrays:
        graph = self.graph
        wanted = {v.name: inputs[v.name].shape for v in graph.inputs}
        if any(v.type.dims != wanted[v.name] for v in graph.inputs):
            graph = reshaped(graph, wanted)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in inputs.items() if name in wanted}
        return arrays(reference.blobs(graph, tensors, PRECISIONS[self.target]))


@dataclass(frozen=True)
class Compiled:
    """A compiled net, as it runs."""

    label: str
    net: Net

    @property
    def shapes(self) -> Shapes:
        return {name: self.net.plan.slots[name].bounds for name in self.net.plan.inputs}

    def values(self, inputs: Mapping[str, Array]) -> Arrays:
        return arrays(trace(self.net, {name: inputs[name] for name in self.net.plan.inputs}))


@dataclass(frozen=True)
class Recorded:
    """Numbers of an .npz: `blob:NAME`, `out:NAME` or NAME, and inputs as `in:NAME`."""

    label: str
    stored: Mapping[str, Array]

    @property
    def shapes(self) -> Shapes:
        return {name: x.shape for name, x in self.inputs.items()}

    @property
    def inputs(self) -> Arrays:
        return {key[3:]: x for key, x in self.stored.items() if key.startswith("in:")}

    def values(self, inputs: Mapping[str, Array]) -> Arrays:
        found: Arrays = {}
        for key, x in self.stored.items():
            if x.dtype.kind in "fiub" and not key.startswith(("in:", "param:", "shape:", "outshape:")):
                found[key.removeprefix("blob:").removeprefix("out:")] = x
        return found


@dataclass(frozen=True)
class OpenCV:
    """OpenCV's own reading of the same files, a layer at a time: what it fuses would not be seen."""

    label: str
    prototxt: Path
    caffemodel: Path
    state: State

    @property
    def shapes(self) -> Shapes:
        return {}

    def values(self, inputs: Mapping[str, Array]) -> Arrays:
        try:
            import cv2  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            advice = "pip install opencv-python-headless==4.14.0.94: later ones cannot read Caffe's files."
            raise CompileError("--opencv: OpenCV is not installed", advice=advice) from None
        try:
            net = cv2.dnn.readNetFromCaffe(str(self.prototxt), str(self.caffemodel))
            net.enableFusion(False)
            known = set(net.getLayerNames())
            for name, x in inputs.items():
                net.setInput(np.ascontiguousarray(x, np.float32), name)
            last = wired(read_prototxt(self.prototxt), self.state).last
            layers = {b: w.maker.name for b, w in last.items() if w.maker is not None and w.maker.name in known}
            found = net.forward(list(layers.values())) if layers else ()
        except cv2.error as e:
            raise CompileError(f"OpenCV cannot run this net: {str(e).strip()}") from None
        return {blob: np.asarray(x) for blob, x in zip(layers, found, strict=True)}


def of_graph(label: str, graph: Graph, options: Options) -> Side:
    """A net on a target, `reference` or `reference-f64`; `options` say with which passes."""
    if options.target in PRECISIONS:
        return Meaning(label, graph, options.target)
    return Compiled(label, Net.from_artifact(lowered(graph, options, Report()), compile=recompile))


def arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: array_of(tensor) for name, tensor in tensors.items()}
