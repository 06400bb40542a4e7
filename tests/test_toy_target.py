"""A target in one file: an accumulator machine for elementwise nets, through passes, artifact and runtime.

Nothing of it is known outside this file: passes ask it, `build` lowers by it, the file names its runner, and a process
in which it is not registered refuses the file with the runner's name.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import cortado
from cortado.compiler.ir import Graph, Node
from cortado.compiler.kernel import kernel_graph
from cortado.compiler.op import Op
from cortado.compiler.ops.activation import Abs, Relu
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.target import LoweredGraph, Target
from cortado.compiler.targets import TARGETS, register_target
from cortado.driver import Options, compile_net
from cortado.runtime import runners
from cortado.runtime.arena import view
from cortado.runtime.artifact import ArtifactError, Plan, Step
from cortado.runtime.resources import Resources

ROOT = Path(__file__).resolve().parents[1]
NAMES: dict[type[Op], str] = {Relu: "clear if negative", Abs: "drop the sign"}
WORK = {"clear if negative": torch.relu, "drop the sign": torch.abs}
NET = "net toy(x: f32[2,3]) {\n    a = relu(x)\n    b = abs(a)\n    y = relu(b)\n    return y\n}\n"


class Abacus(Target):
    """Does Relu and Abs, any number of them in one step."""

    name, runner, payload = "abacus", "abacus", 3

    def accepts(self, kernel: Graph) -> str | None:
        other = next((n for n in kernel.nodes if type(n.op) not in NAMES), None)
        return f"an abacus has no {other.op.name}" if other else None

    def compile(self, planned: PlannedGraph) -> LoweredGraph:
        return LoweredGraph([self.lower(node) for node in planned.graph.nodes])

    def lower(self, node: Node) -> Step:
        kernel = kernel_graph(node)
        work = [NAMES[type(n.op)] for n in kernel.nodes]
        return Step("move beads", {"work": work}, (node.inputs[0].name,), (node.name,), kernel.name)


class AbacusProgram:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        arena, values = torch.empty(self.plan.arena, dtype=torch.uint8), dict(inputs)
        for step in self.plan.steps:
            beads = values[step.operands[0]].clone()
            for word in step.payload["work"]:
                beads = WORK[word](beads)
            values[step.results[0]] = view(arena, self.plan.slots[step.results[0]]).copy_(beads)
        return {blob: values[name].clone() for blob, name in self.plan.outputs}


class AbacusRunner:
    name, payload, reason_not_profiled = "abacus", 3, "beads have no clock"
    takes_gpu_arrays = runs_bounded_sizes = False

    def reason_unavailable(self, plan: Plan) -> str:
        return ""

    def is_built(self, plan: Plan) -> bool:
        return True

    def check(self, plan: Plan, binaries: Mapping[str, Tensor]) -> None:
        for step in plan.steps:
            if step.kind != "move beads" or not set(step.payload["work"]) <= WORK.keys():
                raise ArtifactError(f"step {step.label!r} is nothing for an abacus")

    def prepare(self, plan: Plan, resources: Resources) -> AbacusProgram:
        return AbacusProgram(plan)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_target(Abacus())
    runners.register_runner(AbacusRunner())
    yield
    del TARGETS["abacus"], runners.REGISTERED["abacus"]


def test_from_text_to_numbers(tmp_path: Path) -> None:
    path = tmp_path / "toy.net"
    path.write_text(NET)
    made = compile_net(path, None, Options(target="abacus"))
    (step,) = made.artifact.plan.steps
    assert step.payload == {"work": ["clear if negative", "drop the sign", "clear if negative"]}, "one fused node"
    x = np.array([[-1, 2, 0], [3, -4, 5]], np.float32)
    assert made.load()(x=x)["y"].tolist() == [[0, 2, 0], [3, 0, 5]]
    assert "by abacus" in repr(made.load())
    more = np.repeat(x, 3, 0)
    assert made.load()(x=more)["y"].shape == (6, 3), "compiled for another shape, by the same target"
    cortado.save(made.load(), tmp_path / "toy.cortado")
    assert cortado.load(tmp_path / "toy.cortado")(x=x)["y"].tolist() == [[0, 2, 0], [3, 0, 5]]
    code = "import cortado.runtime as r, sys\ntry: r.load(sys.argv[1])\nexcept r.ArtifactError as e: print(e)"
    command = [sys.executable, "-c", code, str(tmp_path / "toy.cortado")]
    done = subprocess.run(command, cwd=ROOT / ".src", capture_output=True, text=True, check=True)
    assert "needs the runner 'abacus', which this program lacks: it has onednn, native, cuda" in done.stdout
