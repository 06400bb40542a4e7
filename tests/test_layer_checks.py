"""What is refused of any layer: tops of several sources, lists of the wrong length, values that it does not compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compiler.errors import CompileError, CompileErrors
from cortado.compiler.ir import Value
from cortado.frontends.caffe.from_caffemodel import read_net
from cortado.frontends.caffe.layer import LAYERS, Layer, layer
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import NoWeights
from cortado.frontends.files import caffemodel
from cortado.frontends.files.prototxt import parse
from cortado.frontends.files.schema import message_class

from .small_nets import Nets, data
from .small_nets import layer as of

X = np.array([[[[-3, -1, 0, 2], [1, 4, -2, 5]]]], np.float32)


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    return Nets(tmp_path)


def block(name: str, type: str, bottoms: str, tops: str, settings: str = "") -> str:
    ends = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{name}" type: "{type}" {" ".join(ends)} {settings} }}\n'


IMAGE = data(1, 1, 2, 4)
POOL = "pooling_param { kernel_size: 2 }"
CONV = "convolution_param { num_output: 1 kernel_size: 1 }"
# Caffe ends each of these with "Top blob 'y' produced by multiple sources" (net.cpp, AppendTop, after InsertSplits).
SEVERAL_SOURCES = {
    "mask": (block("l", "Pooling", "data", "y y", POOL), 'it has the top "y" twice'),
    "slice": (block("l", "Slice", "data", "y z y", "slice_param { slice_point: [1, 2] axis: 3 }"), 'top "y" twice'),
    "split": (block("l", "Split", "data", "y y"), 'it has the top "y" twice'),
    "convolution": (block("l", "Convolution", "data data", "y y", CONV), 'it has the top "y" twice'),
    "constants": (
        block("l", "DummyData", "", "y y", "dummy_data_param { shape { dim: 1 } }") + block("r", "ReLU", "data", "r"),
        'it has the top "y" twice',
    ),
    "other layer": (block("l", "ReLU", "data", "y") + block("m", "ReLU", "data", "y"), 'made by layer "l"'),
    "input": (block("l", "Concat", "data", "y") + block("m", "ReLU", "y", "data"), 'made by the input "data"'),
    "crossed": (
        block("s", "Slice", "data", "a b") + block("l", "Convolution", "a b", "b a", CONV),
        '"b" is already made by layer "s"',
    ),
    "in place after a reader": (
        block("l", "Power", "data", "y") + block("r", "ReLU", "y", "r") + block("m", "ReLU", "y", "y"),
        'it writes "y" in place, which layer "r" reads',
    ),
    "in place, read twice": (
        block("l", "Power", "data", "y") + block("m", "Eltwise", "y y", "y"),
        'it writes "y" in place, and reads it twice',
    ),
    "in place, a loss": (
        block("l", "Power", "data", "y", "loss_weight: 2") + block("m", "ReLU", "y", "y"),
        'it writes "y" in place, which the total loss, by its loss_weight, reads',
    ),
}


@pytest.mark.parametrize("kind", SEVERAL_SOURCES)
def test_a_blob_has_one_source(kind: str, nets: Nets) -> None:
    text, sentence = SEVERAL_SOURCES[kind]
    said = nets.expect_refusal(IMAGE + text if kind not in ("slice", "crossed") else data(1, 2, 2, 4) + text)
    assert sentence in said and "produced by multiple sources" in said
    line, column = map(int, said.split(".prototxt:")[1].split(":")[:2])
    assert said.split("\n")[1][:-1].strip() and (IMAGE + text).splitlines()[line - 1][column - 1 :].startswith("top")


@pytest.mark.parametrize(
    "text",
    [
        block("l", "Power", "data", "y", "power_param { scale: 2 }") + block("m", "ReLU", "y", "y"),
        block("l", "Power", "data", "y", "power_param { scale: 2 } loss_weight: 0") + block("m", "ReLU", "y", "y"),
        block("l", "Power", "data", "y", "power_param { scale: 2 }")
        + block("m", "ReLU", "y", "y")
        + block("n", "Dropout", "y", "y")
        + block("r", "TanH", "y", "r"),
    ],
)
def test_in_place_layers_in_a_row(text: str, nets: Nets) -> None:
    expected = np.maximum(2 * X, 0)
    made = nets.run(IMAGE + text, {"data": X})
    np.testing.assert_array_equal(made["y"], expected) if "y" in made else np.testing.assert_allclose(
        made["r"], np.tanh(expected), atol=1e-6
    )


LENGTHS = {
    "propagate_down: true propagate_down: false": "propagate_down is given 2 times, and it has 1 bottom",
    "loss_weight: 1 loss_weight: 0": "loss_weight is given 2 times, and it has 1 top",
    "param { } ": "param is given 1 times, and it has no learnt blobs",
}


@pytest.mark.parametrize("more", LENGTHS)
def test_lists_have_a_number_for_each(more: str, nets: Nets) -> None:
    said = nets.expect_refusal(IMAGE + of("ReLU", more))
    assert f'layer "l" (ReLU): {LENGTHS[more]}' in said and f":2:{of('ReLU', more).index(more) + 1}: " in said


@pytest.mark.parametrize("type", ["Input", "Data", "MemoryData"])
def test_an_input_has_no_bottoms(type: str, nets: Nets) -> None:
    said = nets.expect_refusal(IMAGE + block("z", type, "data", "z") + block("r", "ReLU", "z", "r"), shapes={"z": (1,)})
    assert f'layer "z" ({type}): it has a bottom, and takes none' in said


def test_params_beyond_the_blobs() -> None:
    three = "param { lr_mult: 0 } " * 3
    conv = f"{three} convolution_param {{ num_output: 1 kernel_size: 1 bias_term: false }}"
    with pytest.raises(CompileError, match="param is given 3 times, and it has 1 learnt blob"):
        build_graph(parse(IMAGE + of("Convolution", conv)), NoWeights())
    norm = IMAGE + of("BatchNorm", f"{three} batch_norm_param {{ use_global_stats: false }}")
    build_graph(parse(norm), NoWeights())  # three blobs, which this one does not use


def test_a_loss_without_a_top_has_a_weight(nets: Nets) -> None:
    label = data(1, name="label")
    loss = of("EuclideanLoss", "loss_weight: 1", ("data", "data"), ())
    nets.compile(IMAGE + label + loss + block("r", "ReLU", "data", "r"))


# Enum values


def test_eltwise_divides_and_takes_the_smaller(nets: Nets) -> None:
    two, inputs = data(3, name="a") + data(3, name="b"), {"a": [1.0, -6, 5], "b": [2.0, 3, 5]}
    results: dict[str, list[float]] = {"DIV": [0.5, -2, 1], "MIN": [1, -6, 5], "MAX": [2, 3, 5], "PROD": [2, -18, 25]}
    for operation, expected in results.items():
        net = two + of("Eltwise", f"eltwise_param {{ operation: {operation} }}", ("a", "b"))
        assert nets.run(net, inputs)["y"].tolist() == expected
        fused = net + block("r", "ReLU", "y", "r")
        assert nets.run(fused, inputs)["r"].tolist() == [max(0, n) for n in expected]


@pytest.mark.parametrize(("operation", "expected"), [("MIN", [1.0, -6, np.nan, 4]), ("MAX", [2.0, 3, np.nan, 7])])
def test_eltwise_of_three_bottoms_compares_the_third_first(operation: str, expected: list[float], nets: Nets) -> None:
    """A bottom after the second replaces what there is only if it is smaller (larger): eltwise_layer.cpp."""
    three = data(4, name="a") + data(4, name="b") + data(4, name="c")
    net = three + of("Eltwise", f"eltwise_param {{ operation: {operation} }}", ("a", "b", "c"))
    inputs = {"a": [1.0, -6, 1, 7], "b": [2.0, 3, np.nan, 4], "c": [1.5, 0, 5, np.nan]}
    np.testing.assert_array_equal(nets.run(net, inputs)["y"], np.array(expected, np.float32))


REFUSED_VALUES = {
    "eltwise_param { operation: MIN coeff: [1, 2] }": "coefficients go with operation: SUM",
    "eltwise_param { operation: SORT }": "operation cannot be SORT",
    "eltwise_param { operation: 3 }": "operation cannot be 3",  # DIV in one fork and SORT in another
    "eltwise_param { operation: 7000001 }": "operation cannot be 7000001",
    "eltwise_param { operation: -1 }": "operation cannot be -1",
    'eltwise_param { operation: "SUM" }': 'operation cannot be "SUM"',
    "eltwise_param { operation: sum }": "operation cannot be sum",
    "eltwise_param { coeff: nan2 }": "coeff takes a number, not nan2",
    "eltwise_param { coeff: 1 }": "it has 1 coefficients and 2 bottoms",
}


@pytest.mark.parametrize("settings", REFUSED_VALUES)
def test_a_refused_value_names_the_layer(settings: str, nets: Nets) -> None:
    said = nets.expect_refusal(IMAGE + of("Eltwise", settings, ("data", "data")))
    assert f'layer "l" (Eltwise): {REFUSED_VALUES[settings]}' in said and ".prototxt:2:" in said


def test_division_takes_two(nets: Nets) -> None:
    said = nets.expect_refusal(IMAGE + of("Eltwise", "eltwise_param { operation: DIV }", ("data",) * 3))
    assert "DIV takes two bottoms, and it has 3" in said


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('layers { name: "p" type: POOLING bottom: "x" top: "y" pooling_param { pool: 9 } }', 'layer "p" (POOLING): '),
        ('layers { layer { name: "p" type: "pool" pool: 9 } bottom: "x" top: "y" }', 'layer "p" (pool): '),
        ('layer { type: "Pooling" pooling_param { pool: 9 } name: "p" }', 'layer "p" (Pooling): '),
        ('layer { pooling_param { pool: 9 } name: "p" }', 'layer "p": '),
    ],
)
def test_a_number_that_is_no_value_names_the_layer_of_any_generation(text: str, label: str) -> None:
    with pytest.raises(Exception, match="pool cannot be 9") as caught:
        parse(text)
    assert f"1:{text.index('9') + 1}: {label}" in str(caught.value)


def test_an_error_beside_the_layers_names_none() -> None:
    text = 'layer { name: "p" type: "Pooling" }\nname: "n" name: "m"\nforce_backward: 2'
    with pytest.raises(CompileErrors) as caught:
        parse(text)
    assert [e.message for e in caught.value.errors] == [
        "name is given twice; it is also on line 2",
        "force_backward takes true or false, not 2",
    ]


@pytest.mark.parametrize("written", ["MAX", "2", "0x2", "02"])
def test_an_enum_is_written_by_name_or_number(written: str) -> None:
    (l,) = parse(f'layer {{ name: "l" eltwise_param {{ operation: {written} }} }}')["layer"]
    assert l["eltwise_param"]["operation"] == "MAX"


@pytest.mark.parametrize(("number", "name"), [(0, "PROD"), (1, "SUM"), (2, "MAX"), (3, ""), (4, ""), (99, "")])
def test_a_caffemodel_alone_with_a_value_of_a_fork(number: int, name: str, tmp_path: Path) -> None:
    net = message_class("NetParameter")()
    layer: Any = net.layer.add(name="l", type="Eltwise", bottom=["x", "x"], top=["y"])  # type: ignore[attr-defined]
    layer.eltwise_param.operation = 1
    operation = bytes([110 << 3 & 127 | 128 | 2, 110 << 3 >> 7, 2, 1 << 3])  # field 110, two bytes, in it field 1
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString().replace(operation + b"\1", operation + bytes([number])))
    if name:
        (read,) = read_net(caffemodel.read(path), path)["layer"]
        assert read["eltwise_param"]["operation"] == name
    else:
        with pytest.raises(CompileError, match="field 1 of EltwiseParameter is not Caffe's but a fork's"):
            read_net(caffemodel.read(path), path)


def test_reading_an_enum_by_itself_reads_no_value(nets: Nets) -> None:
    """A function that compares a value with one name has not said that it computes the others."""
    try:

        @layer("Hasty", "eltwise_param")
        def hasty(l: Layer, x: Value) -> Value:
            assert l.param["operation"] != "MAX"
            return x

        assert nets.run(IMAGE + of("Hasty"), {"data": X})
        said = nets.expect_refusal(IMAGE + of("Hasty", "eltwise_param { operation: PROD }"))
        assert 'layer "l" (Hasty): cortado does not compute operation: PROD of EltwiseParameter' in said
    finally:
        LAYERS.remove("Hasty")


def test_a_choice_names_values_of_the_schema() -> None:
    (l,) = parse('layer { name: "l" eltwise_param { } }')["layer"]
    with pytest.raises(KeyError, match="operation of EltwiseParameter is never SUN"):
        l["eltwise_param"].choice("operation", {"SUN": 1}, "it")
