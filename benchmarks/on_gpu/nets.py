"""The nets that are measured: texts with random weights, at a batch size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Graph
from cortado.compiler.rewrite import Writer
from cortado.compiler.specialize import reshape_inputs, with_outputs
from cortado.compiler.text import parse

FOLDER = Path(__file__).resolve().parents[1] / "nets"
TINY = """net tiny(data: f32[1,4,17,17]) {
    weight a.w: f32[16,4,3,3]
    weight a.b: f32[16]
    weight n.mean: f32[16]
    weight n.var: f32[16]
    weight b.w: f32[16,16,1,1]
    weight b.b: f32[16]
    weight c.w: f32[16,16,3,3]
    weight c.b: f32[16]
    weight ip.w: f32[10,32]
    weight ip.b: f32[10]
    a = relu(batch_norm(conv(data, a.w, a.b, stride=2, pad=1), n.mean, n.var))
    p = max_pool(a, kernel=3, stride=2)
    b = relu(conv(p, b.w, b.b))
    c = relu(add(conv(b, c.w, c.b, pad=1), p))
    d = concat(b, c)
    e = avg_pool(d)
    prob = softmax(linear(e, ip.w, ip.b))
    return prob
}
"""
"""A net with one kernel of each kind, for running the whole benchmark in seconds."""


@dataclass(frozen=True)
class BenchmarkCase:
    """A net with batch size and precision; `name` is the stem of its file's name."""

    net: str
    batch: int
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.net}-b{self.batch}-{self.dtype}"


def case_of(key: str) -> BenchmarkCase | None:
    """The case of an item's name, such as "resnet50-b1-f16/003 conv_relu"; None for one that is of no case."""
    found = re.match(r"(.+)-b(\d+)-(f16|f32)(?:[/ ]|$)", key)
    return BenchmarkCase(found[1], int(found[2]), found[3]) if found else None


def texts() -> dict[str, str]:
    """The nets' texts by name, those of the folder and `tiny`."""
    return {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.net"))} | {"tiny": TINY}


def build_graph(case: BenchmarkCase) -> Graph:
    """The net before any pass, in f32, with the same weights for every case of it; a detector up to its detections.

    Detection runs on the host, and takes a time that depends on the numbers.
    """
    declared = up_to_detection(parse(texts()[case.net], f"{case.net}.net"))
    return with_random_weights(with_batch(declared, case.batch))


def with_batch(declared: Graph, batch: int) -> Graph:
    """The net for so many pictures at once."""
    return reshape_inputs(declared, {v.name: (batch, *v.type.shape[1:]) for v in declared.inputs})


def up_to_detection(graph: Graph) -> Graph:
    """The net that returns the places and scores which its detection would read."""
    read = [v.name for node in graph.nodes if node.op.name == "detection_output" for v in node.inputs[:2]]
    return with_outputs(graph, read) if read else graph


def with_random_weights(declared: Graph) -> Graph:
    """The net with random weights that keep the magnitude of activations; variances and gains are positive."""
    random = torch.Generator().manual_seed(0)
    positive = {
        node.inputs[i]
        for node in declared.nodes
        for i in {"batch_norm": (2,), "scale": (1,)}.get(node.op.name, ())
        if i < len(node.inputs)
    }
    writer = Writer(declared)
    for c in declared.constants:
        if c.is_bound:
            continue
        numbers = torch.randn(c.type.shape, generator=random)
        if c in positive:
            numbers = 0.5 + numbers.sigmoid()
        else:
            numbers *= (2 / prod(c.type.shape[1:])) ** 0.5 if len(c.type.shape) > 1 else 0.1
        writer[c] = Constant(c.name, c.type, data=numbers)
    for node in declared.nodes:
        writer.copy(node)
    return writer.finish()


def to_device(net: Graph, device: str) -> Graph:
    """The net with its weights on a device, since the reference in float64 is slow on a CPU."""
    writer = Writer(net)
    for c in net.constants:
        writer[c] = Constant(c.name, c.type, data=c.data.to(device))
    for node in net.nodes:
        writer.copy(node)
    return writer.finish()


def random_inputs(net: Graph, seed: int) -> dict[str, Tensor]:
    """Random inputs, on the host."""
    random = torch.Generator().manual_seed(seed)
    return {v.name: torch.randn(v.type.shape, generator=random) for v in net.inputs}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """‖found - expected‖ / ‖expected‖ in float64, where `found` is; infinite if it is NaN."""
    found, expected = found.double(), expected.to(found.device).double()
    distance = float((found - expected).norm() / expected.norm().clamp_min(1e-30))
    return distance if distance == distance else float("inf")
