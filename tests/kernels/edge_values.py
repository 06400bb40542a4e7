"""NaN, infinities and their like through a layer's kernels, against Caffe's formula (tests/edges)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from cortado.compiler.targets import target
from cortado.driver import read_net
from cortado.passes import PIPELINE, Context, run

from ..edges import nets
from ..edges.cases import CASES
from ..edges.formulas import Array
from . import interpreter
from .goldens import ON_HOST
from .prove import lower, to_layout


def prove(name: str) -> str:
    """AssertionError if a kernel's numbers are not Caffe's; what runs on the host if not all are kernels."""
    layer, _, where = name.rpartition("/")
    net = nets.nets_of(CASES[layer])[where]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(net.text)
        final = run(read_net(path, net.weights).graph, Context(target("cuda")), PIPELINE)
    plan, made = lower(final, "cuda")
    if on_host := [s.kind for s in plan.steps if s.kind not in ("launch", "view")]:
        return f"{ON_HOST}{', '.join(on_host)}"
    tensors = {c.handle: c.data for c in final.graph.constants} | made.tensors

    def compute(given: Mapping[str, Array]) -> Array:
        laid = {n: to_layout(torch.from_numpy(x), plan.slots[n].layout) for n, x in given.items()}
        found: Array = interpreter.run(plan, made.sources, tensors, laid)["z"].numpy()
        return found

    nets.require_caffes(net, nets.run(net, compute))
    return ""
