"""`--to caffe` for nets that came from no Caffe file: in cortado's language, or compiled. A layer for each operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import cortado
from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.text import parse
from cortado.compiler.text.weights import write_texts
from cortado.exporters.caffe.current_format import CaffeFile, to_current_format
from cortado.exporters.caffe.from_graph import layers_of_graph
from cortado.exporters.caffe.proof import AnotherNet, find_difference, prove
from cortado.frontends.caffe.dialects import Dialects
from cortado.frontends.files import caffemodel
from cortado.runtime.artifact import write
from cortado.tests.proof.generator import net as random_net

from .shared import ROOT
from .test_export_caffe import official
from .test_export_fold import run
from .test_goldens import CASES, GoldenCase, reference

NETS = sorted((ROOT / "benchmarks" / "nets").glob("*.net"))
DIGITS = ROOT / "examples" / "digits"


def layers(graph: Graph) -> list[tuple[str, str, list[str], list[str]]]:
    """The layers of a graph, proved: (name, type, bottoms, tops)."""
    made = proved(graph)
    found = [layer.message for layer in made.layers]
    return [(m["name"], m["type"], [*m["bottom"]], [*m["top"]]) for m in found if m["type"] != "Input"]


def proved(graph: Graph) -> CaffeFile:
    made = to_current_format(layers_of_graph(graph), ())
    text = made.text()
    official(text)
    prove(text, made, graph, driver.Options(), Dialects())
    return made


def test_a_layer_for_each_operator() -> None:
    graph = parse("""
net n(data: f32[1,2,8,8]) {
    weight conv1.w: f32[4,2,3,3] = [*]
    weight conv1.b: f32[4] = [1, 2, 3, 4]
    conv1 = conv(data, conv1.w, conv1.b, pad=1, stride=2)
    relu1 = relu(conv1, slope=0.1)
    y = avg_pool(relu1)
    return y
}
""".replace("[*]", str([0.5] * 72)))  # fmt: skip
    assert layers(graph) == [
        ("conv1", "Convolution", ["data"], ["conv1"]),
        ("relu1", "ReLU", ["conv1"], ["relu1"]),
        ("y", "Pooling", ["relu1"], ["y"]),
    ]
    conv, relu, pool = [layer.message for layer in proved(graph).layers[1:]]
    settings = conv["convolution_param"]
    assert (settings["num_output"], settings["kernel_size"], settings["pad"], settings["stride"]) == (
        4,
        (3,),
        (1,),
        (2,),
    )
    assert relu["relu_param"]["negative_slope"] == np.float32(0.1)
    assert pool["pooling_param"]["global_pooling"]


def test_settings_that_differ_by_axis_are_given_for_both() -> None:
    """Also where one of the two is the default: Caffe wants both or none."""
    graph = parse("""
net n(x: f32[1,1,8,8]) {
    weight w: f32[1,1,1,3] = [1, 2, 3]
    y = max_pool(conv(x, w, pad=[0, 1]), kernel=[2, 3], pad=[0, 1], stride=[1, 2])
    return y
}
""")
    conv, pool = [layer.message for layer in proved(graph).layers[1:]]
    assert (conv["convolution_param"]["kernel_size"], conv["convolution_param"]["pad"]) == ((1, 3), (0, 1))
    settings = pool["pooling_param"]
    assert [settings[f"{stem}_{axis}"] for stem in ("kernel", "stride", "pad") for axis in "hw"] == [2, 3, 1, 2, 0, 1]


def test_a_constant_that_is_no_parameter_is_made_by_a_layer() -> None:
    graph = parse("""
net n(x: f32[2]) {
    weight w: f32[2] = [1, 2]
    y = add(x, w, beta=-1)
    return y
}
""")
    assert layers(graph) == [("w", "Parameter", [], ["w"]), ("y", "Eltwise", ["x", "w"], ["y"])]


def test_outputs_are_the_blobs_that_nobody_reads() -> None:
    """A value that is returned and read, or by another name, is copied; what is neither is silenced."""
    graph = parse("""
net n(x: f32[1,1,4,4], unused: f32[1]) {
    a = relu(x)
    y, mask = max_pool(a, kernel=2, mask=true)
    z = tanh(y)
    return a, z as top
}
""".replace("z as top", "z"))  # fmt: skip
    assert layers(graph) == [
        ("a", "ReLU", ["x"], ["a.0"]),
        ("y", "Pooling", ["a.0"], ["y", "mask"]),
        ("z", "TanH", ["y"], ["z"]),
        ("a.2", "Split", ["a.0"], ["a"]),
        ("silence", "Silence", ["unused", "mask"], []),
    ]


def test_weights_that_layers_share_are_shared(tmp_path: Path) -> None:
    graph = parse("""
net n(x: f32[1,2]) {
    weight w: f32[2,2] = [1, 2, 3, 4]
    y = linear(linear(x, w), w)
    return y
}
""")
    made = proved(graph)
    assert [[p["name"] for p in layer.message["param"]] for layer in made.layers[1:]] == [["w"], ["w"]]
    write_texts({tmp_path / "n.net": PlannedGraph(graph)}, tmp_path / "n.safetensors")
    cortado.export(tmp_path / "n.net", to="caffe", out=tmp_path / "made")
    again = driver.read_net(tmp_path / "made.prototxt", tmp_path / "made.caffemodel").graph
    x = torch.tensor([[1.0, 10.0]])
    assert run(again, {"x": x})["y"].tolist() == [[107, 235]]  # [1 + 20, 3 + 40], and that again


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("y = resize(x, sizes=[8, 8])", "y = resize(...) cannot be written for Caffe: no layer of Caffe is resize"),
        ("y = relayout(x)", "it is of a stage after assign_layout; export an earlier one"),
        ("y = flip(x, axes=[1])", "y = flip(...) cannot be written for Caffe: Caffe's Flip is of the image axes"),
        ("y = conv(x, x)", "its operand x is computed, and that of Caffe's Convolution is learnt"),
        ("y = standardize(x, per=[1])", "Caffe's MVN is of each image"),
    ],
)
def test_what_no_layer_computes_is_refused_by_name(body: str, told: str) -> None:
    with pytest.raises(CompileError) as caught:
        layers(parse(f"net n(x: f32[1,1,1,1]) {{\n    {body}\n    return y\n}}\n"))
    assert told in str(caught.value)
    assert "<text>:2:" in str(caught.value)


def test_all_that_is_refused_is_told_at_once() -> None:
    text = """
net n(x: f32[1,1,4,4]) {
    y = flip(tanh(flip(x, axes=[1])), axes=[0])
    return y
}
"""
    with pytest.raises(CompileError) as caught:
        layers(parse(text))
    assert str(caught.value).count("cannot be written") == 2


@pytest.mark.parametrize("path", NETS, ids=lambda p: p.stem)
def test_well_known_nets_are_written(path: Path, tmp_path: Path) -> None:
    """From the language, without weights: the prototxt alone."""
    made = cortado.export(path, to="caffe", out=tmp_path / "made")
    (prototxt,) = made.paths
    assert not find_difference(driver.read_net(path).graph, driver.read_net(prototxt).graph)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_golden_cases_without_their_prototxt(path: Path, tmp_path: Path) -> None:
    """Each as a text in the language, written for Caffe again: Caffe's numbers, or refused by an operator's name."""
    case = GoldenCase(path)
    try:
        planned = driver.read_net(path, case.weights, driver.Options(dialects=case.dialects)).planned
    except CompileError:
        pytest.skip("refused: see test_goldens")
    write_texts({tmp_path / "n.net": planned}, tmp_path / "n.safetensors")
    try:
        made = cortado.export(tmp_path / "n.net", to="caffe", out=tmp_path / "made")
    except CompileError as e:
        assert "cannot be written for Caffe" in str(e)
        pytest.skip(e.message)
    *weights, prototxt = made.paths
    case.compare(reference(driver.read_net(prototxt, weights[0] if weights else None).graph, case))


def test_a_compiled_net_is_written_as_it_was_folded(tmp_path: Path) -> None:
    files = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
    write(tmp_path / "digits.cortado", driver.compile_net(*files).artifact)
    made = cortado.export(tmp_path / "digits.cortado", to="caffe", out=tmp_path / "made")
    types = {layer.type for layer in official(made.paths[-1].read_text()).layer}
    assert "Convolution" in types and not types & {"BatchNorm", "Scale", "Dropout"}
    pictures = np.load(DIGITS / "pictures.npz")["pictures"][:4]
    first, again = driver.compile(*files), driver.compile(made.paths[-1], made.paths[0])
    # The sums of both are the same, of equal weights, in an order that the target may choose.
    np.testing.assert_allclose(again(data=pictures)["prob"], first(data=pictures)["prob"], rtol=0, atol=1e-6)
    assert {layer.name for layer in caffemodel.read(made.paths[0]).layers} >= {"conv1"}


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_graphs_are_proved_or_refused(start: int) -> None:
    """Nets with all operators, layouts and kernels: nothing else happens, and what is told names the net or a node."""
    written = 0
    for number in range(start, start + 50):
        graph = random_net(number).graph
        try:
            proved(graph)
            written += 1
        except (CompileError, AnotherNet) as e:
            assert str(e)
    assert written >= 3
