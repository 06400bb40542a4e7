"""What users of Caffe files ran into, in public threads: each number is a line of docs/cases.md, with the thread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado import driver
from cortado.compiler.errors import CompileError, CompileErrors
from cortado.frontends.files import caffemodel
from cortado.runtime import Net

from .shared import ROOT


def blob(*shape: int) -> np.ndarray:
    return np.random.standard_normal(shape).astype(np.float32)


def head(*dims: int, name: str = "x") -> str:
    return f'input: "{name}" input_shape {{ {" ".join(f"dim: {d}" for d in dims)} }}\n'


def layer(name: str, type: str, bottoms: str, top: str = "", settings: str = "") -> str:
    read = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{type}" {read} top: "{top or name}" {settings} }}\n'


class PublicCase:
    """Small nets, compiled with all passes and with none, which have to agree."""

    def __init__(self, folder: Path) -> None:
        self.path, self.warnings = folder / "net.prototxt", tuple[str, ...]()

    def net(self, text: str, weights: Mapping[str, Any] | Path | None = None, **options: Any) -> Net:
        self.path.write_text(text, "utf-8")
        given: Any = weights
        if isinstance(weights, Mapping):
            table = {key: np.asarray(value, np.float32) for key, value in weights.items()}
            given = lambda layer, type, i, shape: table[f"{layer}:{i}"].reshape(shape)  # noqa: E731
        made = driver.compile_net(self.path, given, driver.Options(**options))
        self.warnings = made.file.warnings
        return made.load()

    def run(self, text: str, weights: Mapping[str, Any] | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        best = self.net(text, weights)(inputs)
        plain = self.net(text, weights, optimize=False)(inputs)
        for name, values in plain.items():
            np.testing.assert_allclose(best[name], values, rtol=1e-5, atol=1e-5)
        return best

    def expect_refusal(self, text: str, weights: Any = None, **options: Any) -> str:
        with pytest.raises(CompileError) as caught:
            self.net(text, weights, **options)
        return str(caught.value)


@pytest.fixture
def case(tmp_path: Path) -> PublicCase:
    return PublicCase(tmp_path)


BN = layer("bn", "BatchNorm", "x", "y")


def test_2_the_factor_divides_the_statistics(case: PublicCase) -> None:
    x, mean, variance = blob(2, 3, 4, 4), blob(3), np.abs(blob(3)) + 1
    got = case.run(head(2, 3, 4, 4) + BN, {"bn:0": mean * 8, "bn:1": variance * 8, "bn:2": [8]}, x=x)["y"]
    channels = (slice(None), None, None)
    np.testing.assert_allclose(got, (x - mean[channels]) / np.sqrt(variance[channels] + 1e-5), rtol=1e-4, atol=1e-5)


def test_3_statistics_with_the_factor_0_are_told(case: PublicCase) -> None:
    x = blob(1, 3, 4, 4)
    weights = {"bn:0": [1, 2, 3], "bn:1": [4, 5, 6], "bn:2": [0]}
    got = case.run(head(1, 3, 4, 4) + BN, weights, x=x)["y"]
    np.testing.assert_allclose(got, x / np.sqrt(1e-5), rtol=1e-4)  # as Caffe
    assert ["NVCaffe" in told for told in case.warnings] == [True]
    case.net(head(1, 3, 4, 4) + BN, {"bn:0": [0, 0, 0], "bn:1": [0, 0, 0], "bn:2": [0]})
    assert case.warnings == ()


@pytest.mark.parametrize("setting", ["scale_bias: true", "scale_filler { value: 1 }", "bias_filler { }"])
def test_4_a_batchnorm_that_scales_and_shifts(case: PublicCase, setting: str) -> None:
    """Its blobs are mean, variance, factor, scale, bias; the factor is not used, and eps is at least 1e-5."""
    x = blob(1, 3, 4, 4)
    weights = {"bn:0": [1, 2, 3], "bn:1": [4, 5, 6], "bn:2": [0], "bn:3": [7, 8, 9], "bn:4": [-1, 0, 1]}
    net = head(1, 3, 4, 4) + layer("bn", "BatchNorm", "x", "y", f"batch_norm_param {{ {setting} eps: 1e-9 }}")
    mean, variance, _, scale, bias = (np.array(w, np.float32).reshape(-1, 1, 1) for w in weights.values())
    wanted = (x - mean) / np.sqrt(variance + np.float32(1e-5)) * scale + bias
    np.testing.assert_allclose(case.run(net, weights, x=x)["y"], wanted, rtol=1e-5, atol=1e-5)


def test_4_another_forks_batchnorm_is_refused(case: PublicCase) -> None:
    settings = "batch_norm_param { disable_variance: true }"
    error = case.expect_refusal(head(1, 3, 4, 4) + layer("bn", "BatchNorm", "x", "y", settings))
    assert 'layer "bn" (BatchNorm): cortado does not compute disable_variance' in error


def test_10_a_sum_leaves_the_bottom_that_is_read_again(case: PublicCase) -> None:
    text = head(2, 8, 6, 6)
    text += layer("a", "ReLU", "x") + layer("b", "Sigmoid", "a") + layer("s", "Eltwise", "a b")
    text += layer("again", "Eltwise", "s a")
    x = blob(2, 8, 6, 6)
    a = np.maximum(x, 0)
    np.testing.assert_allclose(case.run(text, x=x)["again"], 2 * a + 1 / (1 + np.exp(-a)), rtol=1e-5, atol=1e-6)


def test_14_a_layer_in_place_on_the_input_leaves_the_callers_array(case: PublicCase) -> None:
    text = head(1, 3, 4, 4) + layer("r", "ReLU", "x", "x") + layer("p", "Power", "x", "y", "power_param { scale: 2 }")
    x = blob(1, 3, 4, 4)
    before = x.copy()
    for optimize in (True, False):
        np.testing.assert_array_equal(case.net(text, optimize=optimize)(x=x)["y"], 2 * np.maximum(before, 0))
        np.testing.assert_array_equal(x, before)


def test_15_a_sum_in_place(case: PublicCase) -> None:
    text = head(1, 3, 4, 4) + layer("a", "TanH", "x") + layer("b", "Sigmoid", "x") + layer("s", "Eltwise", "a b", "a")
    text += layer("r", "AbsVal", "a", "y")
    x = blob(1, 3, 4, 4)
    np.testing.assert_allclose(case.run(text, x=x)["y"], abs(np.tanh(x) + 1 / (1 + np.exp(-x))), rtol=1e-5, atol=1e-6)


def test_16_in_place_on_five_dimensions(case: PublicCase) -> None:
    text = (
        head(2, 3, 4, 5, 6) + layer("p", "Power", "x", "y", "power_param { shift: 0.1 }") + layer("r", "ReLU", "y", "y")
    )
    x = blob(2, 3, 4, 5, 6)
    np.testing.assert_allclose(case.run(text, x=x)["y"], np.maximum(x + np.float32(0.1), 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "settings", "expected"), [
    (112, "kernel_size: 3 stride: 2 pad: 1", 57),  # torch: 56
    (112, "kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR", 56),
    (112, "kernel_size: 3 stride: 2 pad: 1 ceil_mode: false", 56),
    (3, "kernel_size: 2 stride: 2 pad: 1", 2),  # a third window would start in the padding
    (7, "kernel_size: 1 stride: 3", 3),
])  # fmt: skip
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_19_21_sizes_of_pooling(case: PublicCase, pool: str, size: int, settings: str, expected: int) -> None:
    text = head(1, 2, size, size) + layer("p", "Pooling", "x", "y", f"pooling_param {{ pool: {pool} {settings} }}")
    got = case.run(text, x=blob(1, 2, size, size))["y"]
    assert got.shape == (1, 2, expected, expected) and np.isfinite(got).all()


def test_24_softmax_of_the_last_axis_after_reshape(case: PublicCase) -> None:
    text = head(2, 12, 1, 1) + layer("r", "Reshape", "x", "r", "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }")
    text += layer("s", "Softmax", "r", "y", "softmax_param { axis: 2 }")
    x = blob(2, 12, 1, 1)
    e = np.exp(x.reshape(2, 4, 3))
    np.testing.assert_allclose(case.run(text, x=x)["y"], e / e.sum(2, keepdims=True), rtol=1e-5)


def test_28_29_three_forms_of_input_and_other_shapes(case: PublicCase) -> None:
    relu = layer("r", "ReLU", "x", "y")
    forms = [
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5 ',
        head(1, 3, 4, 5),
        'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } }',
    ]
    plans = [case.net(form + relu).plan for form in forms]
    assert plans[0] == plans[1] == plans[2]
    for form in forms:
        assert case.net(form + relu, shapes={"x": (2, 3, 7, 7)})(x=blob(2, 3, 7, 7))["y"].shape == (2, 3, 7, 7)
    assert 'the input "x" has no shape' in case.expect_refusal('input: "x"' + relu)


def test_34_one_name_for_training_and_for_testing(case: PublicCase) -> None:
    both = [layer("d", "Power", "x", "y", f"power_param {{ scale: {n} }} include {{ phase: {phase} }}") for n, phase in
            ((5, "TRAIN"), (7, "TEST"))]  # fmt: skip
    x = blob(1, 3)
    np.testing.assert_array_equal(case.run(head(1, 3) + "".join(both), x=x)["y"], 7 * x)


def test_36_40_weights_that_are_not_there(case: PublicCase, tmp_path: Path) -> None:
    text = head(1, 3, 4, 4) + BN + layer("sc", "Scale", "y", "z", "scale_param { bias_term: true }")
    file = tmp_path / "net.caffemodel"
    caffemodel.write(file, "n", [caffemodel.WrittenLayer("bn", "BatchNorm", [blob(3), blob(3)])])
    with pytest.raises(CompileErrors) as caught:
        case.net(text, file)
    short, missing = (e.message for e in caught.value.errors)
    assert short.startswith('layer "bn" (BatchNorm): ') and short.endswith("has 2 blobs for it, and blob 2 is needed")
    assert missing.startswith('layer "sc" (Scale): ') and missing.endswith("has no weights for it")
    caffemodel.write(file, "n", [caffemodel.WrittenLayer("bn", "BatchNorm", [blob(3), blob(3), blob(1), blob(3)])])
    assert 'layer "bn" (BatchNorm): the caffemodel has 4 blobs for it, and it takes 3' in case.expect_refusal(
        text, file
    )
    assert "No such file" in case.expect_refusal(text, tmp_path / "nte.caffemodel")


def test_38_shapes_of_more_than_four_axes(case: PublicCase, tmp_path: Path) -> None:
    text = head(1, 3, 5, 5, 5) + layer(
        "c", "Convolution", "x", "y", "convolution_param { num_output: 4 kernel_size: 3 }"
    )
    weight = blob(4, 3, 3, 3, 3)
    file = tmp_path / "net.caffemodel"
    caffemodel.write(file, "n", [caffemodel.WrittenLayer("c", "Convolution", [weight, blob(4)])])
    assert case.net(text, file)(x=blob(1, 3, 5, 5, 5))["y"].shape == (1, 4, 3, 3, 3)
    caffemodel.write(file, "n", [caffemodel.WrittenLayer("c", "Convolution", [weight[:, :, 0], blob(4)])])
    assert "blob 0 is [4, 3, 3, 3] in" in case.expect_refusal(text, file)
    assert "and the net needs [4, 3, 3, 3, 3]" in case.expect_refusal(text, file)


def test_39_sharers_of_different_shapes(case: PublicCase) -> None:
    fc = 'param {{ name: "w" {} }} inner_product_param {{ num_output: {} bias_term: false }}'
    text = (
        head(1, 6) + layer("a", "InnerProduct", "x", "a", fc.format("", 4)) + layer("b", "InnerProduct", "a", "b", "%s")
    )
    error = case.expect_refusal(text % fc.format("", 6))
    assert '"w" belongs to layer "a" (blob 0), where it is [4, 6]; blob 0 here is [6, 4]' in error
    assert "PERMISSIVE" in error
    assert case.net(text % fc.format("share_mode: PERMISSIVE", 6), {"a:0": blob(4, 6)})(x=blob(1, 6))["b"].shape == (
        1,
        6,
    )
    assert "of another count" in case.expect_refusal(text % fc.format("share_mode: PERMISSIVE", 5))


def test_51_a_batch_is_its_pictures(case: PublicCase) -> None:
    text = head(1, 3, 9, 9) + layer(
        "c", "Convolution", "x", "c", "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }"
    )
    text += layer("p", "Pooling", "c", "p", "pooling_param { kernel_size: 3 stride: 2 }")
    text += layer("n", "LRN", "p", "n") + layer("f", "InnerProduct", "n", "f", "inner_product_param { num_output: 5 }")
    weights = {"c:0": blob(8, 3, 3, 3), "c:1": blob(8), "f:0": blob(5, 8 * 16), "f:1": blob(5)}
    net, x = case.net(text, weights), blob(3, 3, 9, 9)
    alone = np.concatenate([net(x=x[i : i + 1])["f"] for i in range(3)])
    np.testing.assert_allclose(net(x=x)["f"], alone, rtol=1e-5, atol=1e-5)


def test_52_the_largest_of_slices(case: PublicCase) -> None:
    text = head(2, 8, 5, 5) + 'layer { name: "s" type: "Slice" bottom: "x" top: "a" top: "b" }\n'
    text += layer("m", "Eltwise", "a b", "m", "eltwise_param { operation: MAX }") + layer("r", "ReLU", "m", "y")
    x = blob(2, 8, 5, 5)
    np.testing.assert_array_equal(case.run(text, x=x)["y"], np.maximum(np.maximum(x[:, :4], x[:, 4:]), 0))


# The list itself

LIST = (ROOT / "docs" / "cases.md").read_text("utf-8") if (ROOT / "docs" / "cases.md").exists() else ""


def test_every_case_has_a_line() -> None:
    numbers = [int(n) for line in re.findall(r"^\| ([\d, ]+) \|", LIST, re.MULTILINE) for n in line.split(",")]
    assert sorted(numbers) == list(range(1, 61))


def test_what_the_list_names_exists() -> None:
    for test in re.findall(r"`tests/(test_\w+\.py)(?:::(\w+))?`", LIST):
        file, function = test
        source = (ROOT / "tests" / file).read_text("utf-8")
        assert not function or f"def {function}(" in source, test
    for name in re.findall(r"golden `(\w+)`", LIST):
        assert any((ROOT / "tests" / "goldens" / of / f"{name}.npz").exists() for of in ("layers", "forks")), name
    here = Path(__file__).read_text("utf-8")
    for name in re.findall(r"`(test_\d+\w*)`", LIST):
        assert f"def {name}(" in here, name
    written = re.findall(r"^def (test_\d+\w*)\(", here, re.MULTILINE)
    assert all(f"`{name}`" in LIST for name in written)
