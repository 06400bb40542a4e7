"""What the compiler plans for a GPU, launched: parameters as machine code declares them, calls as CUDA wants them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from cortado.compiler.rewrite import Writer, make_constant
from cortado.compiler.text import parse
from cortado.driver import Options, compile_graph
from cortado.runtime import Net
from cortado.runtime.artifact import Artifact
from cortado.runtime.cuda.launch import argument_values
from cortado.runtime.primitive_table import PRIMITIVE_TABLE

from .cubins import parameter_sizes
from .gpu import GpuUnderTest, cubin

TEXT = """net tiny(data: f32[2,4,17,17]) {
    weight a.w: f32[16,4,3,3]
    weight a.b: f32[16]
    weight b.w: f32[16,16,1,1]
    weight c.w: f32[16,16,3,3]
    weight c.b: f32[16]
    weight e.w: f32[8,16,1,1]
    a = relu(conv(data, a.w, a.b, stride=2, pad=1))
    p = max_pool(a, kernel=3, stride=2)
    b = relu(conv(p, b.w))
    e = conv(p, e.w)
    c = relu(add(conv(b, c.w, c.b, pad=1), p))
    d = concat(b, c)
    prob = softmax(avg_pool(d))
    return prob, c, e
}
"""


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    declared = parse(TEXT)
    writer = Writer(declared)
    for c in declared.constants:
        writer[c] = make_constant(c.name, torch.randn(c.type.shape))
    for node in declared.nodes:
        writer.copy(node)
    return compile_graph(writer.finish(), Options(target="cuda")).artifact


class Encoder:
    """As much of the driver as laying out parameters takes."""

    def cuTensorMapEncodeTiled(self, *arguments: Any) -> None:  # noqa: N802, the driver's name
        assert arguments[0] % 64 == 0


def launches(artifact: Artifact, architecture: str) -> Iterator[dict[str, Any]]:
    """The attributes of every launch, as they hold on an architecture."""
    for step in artifact.plan.steps:
        if step.kind == "launch":
            attributes = PRIMITIVE_TABLE["launch"].complete(step.payload)
            yield {**attributes, **attributes["variants"].get(architecture, {})}


def sizes(attributes: dict[str, Any]) -> list[int]:
    """Bytes of each parameter that the launcher would give, the two scratch addresses last."""
    places = {"operand": [0] * 64, "result": [0] * 64, "scratch": [0], "counters": [0]}
    values = [v for a in attributes["arguments"] for v in argument_values(Encoder(), a, places)]  # type: ignore[arg-type]
    return [ctypes.sizeof(value) for value in values] + [8, 8]


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_parameters_are_those_of_the_machine_code(artifact: Artifact, architecture: str) -> None:
    checked = 0
    for attributes in launches(artifact, architecture):
        name = attributes["kernel"]
        code = artifact.binaries[f"{name}.{architecture}"].numpy().tobytes()
        assert sizes(attributes) == parameter_sizes(code, name), name
        checked += 1
    assert checked >= 6
    described = [a for at in launches(artifact, "sm_90") for a in at["arguments"] if "descriptor" in a]
    assert any("_slice_" in at["kernel"] for at in launches(artifact, architecture)), "none of several results"
    assert described, "no kernel of this net reads tensor descriptors: choose another"


@pytest.mark.parametrize("capability", ["80", "90"])
def test_a_plan_is_launched_in_order(
    artifact: Artifact, gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch, capability: str
) -> None:
    """The stand-in refuses tensor maps, grids and shared memory that CUDA would; its kernels do nothing."""
    monkeypatch.setenv("FAKECUDA_CAPABILITY", capability)
    planned = list(launches(artifact, f"sm_{capability}"))
    code = {
        f"{a['kernel']}.sm_{capability}": cubin(
            {a["kernel"]: "nothing " + " ".join(map(str, sizes(a)))}, int(capability)
        )
        for a in planned
    }
    net = Net.from_artifact(replace(artifact, binaries={**artifact.binaries, **code}))
    net(torch.randn(2, 4, 17, 17))
    asked = gpu.log_entries("cuLaunchKernel")
    assert [entry["name"] for entry in asked] == [a["kernel"] for a in planned]
    assert [entry["grid"] for entry in asked] == [list(a["grid"]) for a in planned]
    assert [entry["block"][0] for entry in asked] == [32 * a["warps"] for a in planned]
    assert [entry["shared"] for entry in asked] == [a["shared"] for a in planned]
    assert [entry["nodes"] for entry in gpu.log_entries("cuStreamEndCapture")] == [len(planned)]
    assert len(gpu.log_entries("cuGraphLaunch")) == 1
