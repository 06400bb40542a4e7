"""What real Caffe computed: every layer and many random nets, on reference and CPU, with all passes and with none.

tests/goldens/*/NAME.prototxt with NAME.npz: `in:BLOB`, `param:LAYER:INDEX`, `out:BLOB`, made by BVLC Caffe 1.0 (and the
SSD fork) on the CPU in float32. A case whose layer types are not all known has to be refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.build import build
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.poison import run_poisoned
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.targets import target
from cortado.compiler.text import parse_planned, show
from cortado.compiler.text.weights import weights_by_handle
from cortado.frontends.caffe.layer import LAYERS
from cortado.frontends.files.prototxt import read
from cortado.passes import PIPELINE, Context, run
from cortado.runtime import Net
from cortado.runtime.native import NativeProgram

FOLDER = Path(__file__).with_name("goldens")
CASES = sorted(p for kind in ("layers", "random", "forks") for p in FOLDER.glob(f"{kind}/*.prototxt"))
DIALECTS = {
    "reverse_default__ctpn": "ctpn",
    "crop_legacy_hed_side": "hed",
    "crop_legacy_two_pools": "hed",
}  # what the file alone does not tell
TOLERANCE = 1e-5  # of the largest output; Caffe's own float32 differs from float64 by 5e-7


class GoldenCase:
    """One net with the numbers that Caffe gave it, and gave back."""

    def __init__(self, path: Path) -> None:
        stored = np.load(path.with_suffix(".npz"))
        kinds: dict[str, dict[str, np.ndarray]] = {"in": {}, "param": {}, "out": {}}
        for key in stored.files:
            kind, _, name = key.partition(":")
            kinds[kind][name] = stored[key]
        self.dialects = tuple(d for stem, d in DIALECTS.items() if stem == path.stem)
        self.path, self.inputs, self.params, self.outputs = path, kinds["in"], kinds["param"], kinds["out"]

    def weights(self, layer: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        return self.params[f"{layer}:{index}"].reshape(shape)

    def compare(self, got: dict[str, np.ndarray]) -> None:
        for name, expected in self.outputs.items():
            assert name in got, f"{name} is missing, there are {', '.join(got)}"
            assert got[name].shape == expected.shape, name
            largest = np.abs(expected).max(initial=1e-30)
            np.testing.assert_allclose(got[name] / largest, expected / largest, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.fixture(params=CASES, ids=lambda p: p.stem)
def case(request: pytest.FixtureRequest) -> GoldenCase:
    return GoldenCase(request.param)


@pytest.mark.parametrize("optimize", [True, False], ids=["optimized", "plain"])
def test_case(case: GoldenCase, optimize: bool) -> None:
    made = compile_case(case, optimize)
    net = made.load()
    case.compare(net(case.inputs))
    case.compare(net(case.inputs))  # in an arena full of the first run
    last = made.graph
    case.compare(reference(last, case))
    if last.inputs == () or all(v.type.is_static for n in last.nodes for v in n.results):
        tensors = [torch.from_numpy(case.inputs[v.name]) for v in last.inputs]
        names = [name for name, _ in last.returns]
        case.compare(dict(zip(names, (t.numpy() for t in run_poisoned(made.stages.final, *tensors)), strict=True)))


def test_every_dump_is_a_program(case: GoldenCase) -> None:
    """Each stage prints, reads back, prints itself, means what Caffe computed, and compiles to the same plan."""
    made, tried = compile_case(case), set[str]()
    for stage, planned in made.stages.by_name.items():
        text = show(*planned)
        if text in tried:  # the pass changed nothing
            continue
        tried.add(text)
        again = parse_planned(text, f"{stage}.net", weights_by_handle(planned.graph))
        assert show(*again) == text, stage
        case.compare(reference(again.graph, case))
        final = run(again.graph, Context(target("native")), PIPELINE, plan=again.plan)
        assert build(final, final.graph, "native").plan == replace(made.artifact.plan, target="native"), stage


def compile_case(case: GoldenCase, optimize: bool = True) -> driver.Compilation:
    """The net, compiled; a case with a layer that is not there yet is refused, and its test ends."""
    types = {layer["type"] for layer in read(case.path)["layer"]}
    if types - LAYERS.keys() - {"Input"}:
        with pytest.raises(CompileError, match="has no layer type"):
            driver.compile(case.path, case.weights)
        pytest.skip(f"refused: {', '.join(sorted(types - LAYERS.keys() - {'Input'}))}")
    return driver.compile_net(case.path, case.weights, driver.Options(optimize=optimize, dialects=case.dialects))


def reference(graph: Graph, case: GoldenCase) -> dict[str, np.ndarray]:
    given = {v.name: torch.from_numpy(case.inputs[v.name]) for v in graph.inputs}
    return {name: t.numpy() for name, t in evaluate_blobs(graph, given).items()}


@pytest.mark.usefixtures("c_compiler")
def test_native(case: GoldenCase) -> None:
    """The same by kernels in C: in an arena full of the first run, and full of NaN."""
    try:
        net = driver.compile_net(case.path, case.weights, driver.Options("native", dialects=case.dialects)).load()
    except CompileError:
        pytest.skip("refused: see test_case")
    case.compare(net(case.inputs))
    poison_arenas(net)
    case.compare(net(case.inputs))


def poison_arenas(net: Net) -> None:
    """Fill the memory of all instances with NaN."""
    for program in net.programs.values():
        assert isinstance(program, NativeProgram)
        for instance in program.pool:
            instance.arena.fill_(0xFF)
