"""The BN of Caffe's forks: which of the two layers of that name is meant, and what each computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.frontends.files.caffemodel import WrittenLayer, write
from cortado.runtime import Net

from .small_nets import Nets, arange, data, layer

GAMMA, BETA, MEAN, VARIANCE = [2.0, 3.0], [1.0, -1.0], [4.0, 5.0], [4.0, 0.25]
STORED = {"l:0": GAMMA, "l:1": BETA, "l:2": MEAN, "l:3": VARIANCE}
X = np.array([[6, 5], [4, 6]], np.float32)
BY_SCALE = [[13, 14], [9, 17]]  # x · gamma + beta
BY_STATISTICS = [[3, -1], [1, 5]]  # (x - mean) / deviation · gamma + beta
BY_BATCH = [[3, -4], [-1, 2]]  # means 5, 5.5, deviations 1, 0.5


@pytest.mark.parametrize(("settings", "wanted"), [
    ("bn_param { bn_mode: INFERENCE }", BY_SCALE),
    ("bn_param { bn_mode: LEARN }", BY_BATCH),
    ("bn_param { scale_filler { value: 1 } shift_filler { value: 0.001 } }", BY_BATCH),
    ("bn_param { icnet: false bn_mode: INFERENCE }", BY_SCALE),
    ("bn_param { icnet: true eps: 0 }", BY_STATISTICS),
    ("bn_param { slope_filler { value: 1 } bias_filler { value: 0 } eps: 0 momentum: 0.95 }", BY_STATISTICS),
    ("bn_param { frozen: true eps: 0 }", BY_STATISTICS),
    ("param { lr_mult: 1 } param { lr_mult: 1 } param {} param { lr_mult: 0 } bn_param { eps: 0 }", BY_STATISTICS),
    ("param { lr_mult: 1 } param { lr_mult: 1 }", BY_BATCH),
])  # fmt: skip
def test_which_is_meant(nets: Nets, settings: str, wanted: list[list[float]]) -> None:
    """By its settings, or by how many blobs it says what to do with; of two dimensions and of four."""
    made = nets.run(data(2, 2) + layer("BN", settings), {"data": X}, STORED)["y"]
    np.testing.assert_allclose(made, wanted, atol=1e-6)
    images = nets.run(data(2, 2, 1, 1) + layer("BN", settings), {"data": X.reshape(2, 2, 1, 1)}, STORED)["y"]
    np.testing.assert_allclose(images.reshape(2, 2), wanted, atol=1e-6)


@pytest.mark.parametrize(("count", "wanted"), [(2, BY_BATCH), (4, BY_STATISTICS)])
@pytest.mark.parametrize("settings", ["", "param { lr_mult: 1 } param { lr_mult: 1 }"])
def test_a_caffemodel_tells_by_its_blobs(tmp_path: Path, count: int, wanted: list[list[float]], settings: str) -> None:
    compiled = compile_with_blobs(tmp_path, data(2, 2) + layer("BN", settings), count)
    np.testing.assert_allclose(compiled(data=X)["y"], wanted, atol=2e-4)  # eps, by default, is 1e-5


@pytest.mark.parametrize(("settings", "count", "said"), [
    ("bn_param { bn_mode: INFERENCE }", 4, "the caffemodel has 4 blobs for it, and it takes 2"),
    ("bn_param { icnet: true }", 2, "has 2 blobs for it, and blob 2 is needed"),
    ("bn_param { frozen: true }", 3, "has 3 blobs for it, and blob 3 is needed"),
    ("", 3, "the file fits several: in segnet: Scale and shift each channel"),
])  # fmt: skip
def test_blobs_that_do_not_fit(tmp_path: Path, settings: str, count: int, said: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile_with_blobs(tmp_path, data(2, 2) + layer("BN", settings), count)
    assert 'layer "l" (BN)' in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(("settings", "said"), [
    ("", "--dialect segnet or --dialect pspnet"),
    ("bn_param { bn_mode: INFERENCE frozen: true }", "bn_mode is SegNet's, and frozen PSPNet's"),
    ("param {} param {} param {} bn_param { scale_filler {} }", "scale_filler is SegNet's, and a param for each of 3"),
    ("bn_param { bn_mode: LEARN moving_average: true }", "cortado does not compute moving_average of BNParameter"),
    ("bn_param { scale_filler {} var_eps: 0.1 }", "cortado does not compute var_eps of BNParameter"),
    ("bn_param { bn_mode: LEARN decay: 0.05 }", "Caffe has no field decay in BNParameter"),
])  # fmt: skip
def test_refused(nets: Nets, settings: str, said: str) -> None:
    refused = nets.expect_refusal(data(2, 2) + layer("BN", settings), weights=STORED)
    assert said in refused and "net.prototxt:2:" in refused


@pytest.mark.parametrize(("dialect", "wanted"), [("segnet", BY_BATCH), ("hszhao/PSPNet", BY_STATISTICS)])
def test_a_user_decides(nets: Nets, dialect: str, wanted: list[list[float]]) -> None:
    made = nets.run(data(2, 2) + layer("BN"), {"data": X}, STORED, dialects=(dialect,))["y"]
    np.testing.assert_allclose(made, wanted, atol=2e-4)


def test_a_rank_that_its_caffe_has_not(nets: Nets) -> None:
    said = nets.expect_refusal(data(1, 2, 1, 1, 1) + layer("BN", "bn_param { icnet: true }"), weights=STORED)
    assert "it takes data [n, c] to [n, c, h, w], not f32[1,2,1,1,1]" in said


def test_two_params_and_the_settings_of_four_blobs(nets: Nets) -> None:
    """As TSN's files have it: a fork with two blobs reads them too, so that only a caffemodel can tell for sure."""
    text = data(2, 2) + layer("BN", "param {} param {} bn_param { frozen: true }")
    made = nets.compilation(text, STORED)
    np.testing.assert_allclose(made.load()(data=X)["y"], BY_BATCH, atol=1e-5)
    (said,) = made.file.warnings
    assert "has frozen, which is PSPNet's, and param for two blobs" in said


def test_in_place_and_folded_away(nets: Nets) -> None:
    """PSPNet's form leaves nothing behind a convolution but the convolution."""
    text = data(1, 3, 4, 4) + layer("Convolution", "convolution_param { num_output: 2 kernel_size: 3 }", tops="y")
    text += layer("BN", "bn_param { icnet: true }", ("y",), ("y",)).replace('"l"', '"bn"')
    weights = {"l:0": torch.randn(2, 3, 3, 3), "l:1": [0.5, -0.5], **{f"bn{k[1:]}": v for k, v in STORED.items()}}
    net = nets.compile(text, weights)
    assert [step.kind for step in net.plan.steps] == ["conv_packed"]
    x = arange(1, 3, 4, 4).numpy() / 48
    plain = nets.compile(text, weights, optimize=False)
    np.testing.assert_allclose(net(data=x)["y"], plain(data=x)["y"], rtol=1e-5, atol=1e-5)


def compile_with_blobs(folder: Path, text: str, count: int) -> Net:
    """The net with a caffemodel of so many blobs, in the shape in which the forks keep them."""
    (folder / "net.prototxt").write_text(text)
    blobs = [np.array(STORED[f"l:{i}"], np.float32).reshape(1, 2, 1, 1) for i in range(count)]
    write(folder / "net.caffemodel", "net", [WrittenLayer("l", "BN", tuple(blobs))])
    return driver.compile(folder / "net.prototxt", folder / "net.caffemodel")
