"""Runs the golden cases of real Caffe on GPU kernels, and compares with Caffe's outputs."""

from __future__ import annotations

import torch

from cortado import driver
from cortado.compiler.targets import target
from cortado.passes import PIPELINE, Context, run

from ..test_goldens import CASES, GoldenCase
from . import interpreter
from .prove import lower, to_layout

PATHS = {f"{p.parent.name}/{p.stem}": p for p in CASES}
ON_HOST = "on the host: "
KERNELS = {"conv_packed", "linear_packed", "max_pool", "avg_pool", "expr", "lrn", "softmax", "transpose", "crop"}
KERNELS |= {"concat", "slice", "reshape", "relayout", "copy"}  # primitives that have kernels on a GPU


def prove(name: str) -> str:
    """Compare all outputs of the net. A net with host steps is not run; the result lists them."""
    case = GoldenCase(PATHS[name])
    graph = driver.read_net(case.path, case.weights).graph
    final = run(graph, Context(target("cuda")), PIPELINE)
    plan, made = lower(final, "cuda")
    hosted = sorted({s.kind for s in plan.steps if s.kind not in ("launch", "view")})
    if hosted:
        volumes = any(v.type.rank > 4 for v in final.graph.values.values())  # images of three axes have no kernels
        assert volumes or KERNELS.isdisjoint(hosted), f"{hosted} are host steps"
        return ON_HOST + ", ".join(hosted)
    tensors = {c.handle: c.data for c in final.graph.constants} | made.tensors
    inputs = {v.name: torch.from_numpy(case.inputs[v.name]) for v in final.graph.inputs}
    given = {n: to_layout(t, plan.slots[n].layout) for n, t in inputs.items()}
    got = interpreter.run(plan, made.sources, tensors, given)
    case.compare({n: t.numpy() for n, t in got.items()})
    return "as Caffe"
