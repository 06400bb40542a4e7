"""A net that meets sizes which its file does not hold: bounds are compiled once, and serve all sizes up to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from cortado import driver
from cortado.compiler.codegen.host_steps import reshape_attributes
from cortado.compiler.ops.conv import Conv, Deconv
from cortado.compiler.ops.pool import AvgPool, MaxPool
from cortado.compiler.types import AtMost, TensorType
from cortado.frontends.files import caffemodel
from cortado.runtime.artifact import Artifact
from cortado.runtime.bounded_sizes import BoundedSizes
from cortado.runtime.net import Net
from cortado.runtime.onednn import OneDnnProgram, OneDnnRunner
from cortado.runtime.plan import ArtifactError, Plan
from cortado.runtime.primitives.movement import RESHAPE
from cortado.runtime.resources import Resources

LAYERS = """name: "pyramid"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 9 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "slope" type: "PReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer {
  name: "score" type: "Convolution" bottom: "pool" top: "score"
  convolution_param { num_output: 2 kernel_size: 2 }
}
layer {
  name: "up" type: "Deconvolution" bottom: "score" top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 }
}
layer { name: "both" type: "Concat" bottom: "score" bottom: "score" top: "both" }
layer { name: "prob" type: "Softmax" bottom: "both" top: "prob" }
"""
FULL = """layer { name: "fc" type: "InnerProduct" bottom: "score" top: "fc" inner_product_param { num_output: 3 } }
"""
GLOBAL = """layer {
  name: "mean" type: "Pooling" bottom: "score" top: "mean"
  pooling_param { pool: AVE global_pooling: true }
}
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc" inner_product_param { num_output: 3 } }
"""
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv": [(4, 2, 3, 3), (4,)], "slope": [(4,)], "score": [(2, 4, 2, 2), (2,)], "up": [(2, 2, 2, 2), (2,)],
}  # fmt: skip


def write_net(folder: Path, more: str = "", taken: int = 0) -> tuple[Path, Path]:
    """The files of a net; `taken` is how many numbers its layer "fc" takes."""
    dice = np.random.default_rng(5)
    shapes = SHAPES | ({"fc": [(3, taken), (3,)]} if taken else {})
    (folder / "net.prototxt").write_text(LAYERS + more)
    layers = [
        caffemodel.WrittenLayer(name, "?", [dice.standard_normal(s).astype(np.float32) for s in blobs], [], [])
        for name, blobs in shapes.items()
    ]
    caffemodel.write(folder / "net.caffemodel", "pyramid", layers)
    return folder / "net.prototxt", folder / "net.caffemodel"


class Recorder:
    """The compiler of a net, and the input dimensions that it was asked for."""

    def __init__(self) -> None:
        self.asked = list[tuple[int | str, ...]]()

    def __call__(
        self, source: str, shapes: Mapping[str, Sequence[int | str]], weights: Mapping[str, Tensor], target: str
    ) -> Artifact:
        self.asked.append(tuple(shapes["data"]))
        return driver.recompile(source, shapes, weights, target)


@pytest.fixture
def asked() -> Recorder:
    return Recorder()


def load(files: tuple[Path, Path], recorder: Recorder) -> Net:
    return Net.from_artifact(driver.compile_net(*files, driver.Options(target="onednn")).artifact, recorder)


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def require_same(files: tuple[Path, Path], net: Net, *shape: int) -> None:
    """The net computes what one that is compiled for this very size does: the same kernels, so the same bits."""
    alone = driver.compile(*files, target="onednn", shapes={"data": shape})
    made, wanted = net(picture(*shape)), alone(picture(*shape))
    assert {name: x.shape for name, x in made.items()} == {name: x.shape for name, x in wanted.items()}
    for name in wanted:
        np.testing.assert_array_equal(made[name], wanted[name])


def test_new_sizes_within_bounds_are_not_compiled(tmp_path: Path, asked: Recorder) -> None:
    files = write_net(tmp_path)
    net = load(files, asked)
    for height, width in ((20, 24), (19, 11), (6, 8), (30, 36), (20, 24)):
        require_same(files, net, 1, 2, height, width)
    assert asked.asked == [(1, 2, "?30", "?36")]
    require_same(files, net, 1, 2, 31, 8)
    require_same(files, net, 3, 2, 7, 9)
    assert asked.asked[1:] == [(1, 2, "?47", "?36"), ("?5", 2, "?47", "?36")]
    require_same(files, net, 1, 2, 9, 8)
    assert len(asked.asked) == 3, "the shapes of the file have their own program"


def test_a_size_that_does_not_fit_is_refused_as_when_it_is_compiled(tmp_path: Path, asked: Recorder) -> None:
    files = write_net(tmp_path)
    net = load(files, asked)
    require_same(files, net, 1, 2, 12, 12)
    with pytest.raises(ValueError, match=r"score = conv: a window of 2 does not fit into an image of 1"):
        net(picture(1, 2, 4, 12))
    require_same(files, net, 1, 2, 5, 12)


def test_layers_that_need_to_know_sizes_are_compiled_for_each(tmp_path: Path, asked: Recorder) -> None:
    files = write_net(tmp_path, FULL, 2 * 3 * 2)
    net = load(files, asked)
    require_same(files, net, 4, 2, 9, 8)
    require_same(files, net, 6, 2, 9, 8)
    require_same(files, net, 1, 2, 10, 8)  # still three rows of the second convolution
    assert asked.asked == [("?6", 2, 9, 8), ("?6", 2, "?15", 8), (1, 2, 10, 8)]
    require_same(files, net, 2, 2, 10, 8)
    assert asked.asked[3:] == [(2, 2, 10, 8)], "bounds that a layer refused are not tried again"


def test_a_global_pooling_makes_the_sizes_of_its_image_matter_no_more(tmp_path: Path, asked: Recorder) -> None:
    files = write_net(tmp_path, GLOBAL, 2)
    net = load(files, asked)
    for size in (10, 13, 15):
        require_same(files, net, 1, 2, size, size)
    assert len(asked.asked) == 1


def test_bounds_leave_room_and_remember_what_was_met() -> None:
    sizes = BoundedSizes(((1, 3, 12, 12), (1, 2)))
    assert sizes.propose(((1, 3, 20, 12), (1, 2))) == ((1, 3, "?30", 12), (1, 2))
    sizes.accept(((1, 3, 20, 12), (1, 2)))
    assert sizes.propose(((1, 3, 10, 5), (2, 2))) == ((1, 3, "?30", "?18"), ("?3", 2))
    sizes.reject(((1, 3, 20, 12), (2, 2)))
    assert sizes.propose(((1, 3, 20, 30), (5, 2))) is None, "one of its axes was rejected"
    assert sizes.propose(((1, 3, 20, 30), (1, 2))) == ((1, 3, "?30", "?45"), (1, 2))


def test_windows_have_bounds_where_images_have() -> None:
    x = TensorType("f32", (AtMost(2), 4, AtMost(9), 8))
    assert Conv(stride=(2,)).infer(x, TensorType("f32", (5, 4, 3, 3))).dims == (AtMost(2), 5, AtMost(4), 3)
    assert Deconv(stride=(2,)).infer(x, TensorType("f32", (4, 5, 2, 2))).dims == (AtMost(2), 5, AtMost(18), 16)
    assert MaxPool(kernel=(2,), stride=(2,)).infer(x) == x.with_shape(AtMost(2), 4, AtMost(5), 4)
    assert AvgPool().infer(x).dims == (AtMost(2), 4, 1, 1)


def test_a_reshape_says_which_axes_of_its_operand_it_keeps() -> None:
    x, y = TensorType("f32", (1, 3, AtMost(4), AtMost(9))), TensorType("f32", (3, AtMost(4), AtMost(9)))
    assert reshape_attributes(x, y) == {"copied": [-1, 2, 3]}
    merged = x.with_shape(3, AtMost(36))
    assert reshape_attributes(x, merged) == {}
    assert reshape_attributes(x.with_shape(AtMost(2), AtMost(4), 5), x.with_shape(AtMost(2), AtMost(20))) == {
        "copied": [0, -1]
    }
    infer = RESHAPE.infer_shapes
    assert infer is not None
    assert infer({"copied": [-1, 2, 3]}, [(1, 3, 1, 7)], [(3, "?4", "?9")]) == [(3, 1, 7)]
    assert infer({"copied": [0, -1]}, [(2, 3, 5)], [("?2", "?20")]) == [(2, 15)]
    with pytest.raises(ValueError, match=r"more than one dimension of \['\?2', '\?20'\] is dynamic"):
        infer({"copied": ()}, [(2, 3, 5)], [("?2", "?20")])
    with pytest.raises(ValueError, match=r"copied .* does not fit"):
        infer({"copied": [3, -1]}, [(2, 3, 5)], [("?2", "?20")])


def test_bounds_that_a_runner_cannot_prepare_leave_it_to_other_shapes(
    tmp_path: Path, asked: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_net(tmp_path)
    net, prepare = load(files, asked), OneDnnRunner.prepare

    def prepare_static(runner: OneDnnRunner, plan: Plan, resources: Resources) -> OneDnnProgram:
        if not all(slot.is_static for slot in plan.slots.values()):
            raise ArtifactError("it has bounds")
        return prepare(runner, plan, resources)

    monkeypatch.setattr(OneDnnRunner, "prepare", prepare_static)
    for height in (12, 20):
        require_same(files, net, 1, 2, height, 8)
    assert asked.asked == [(1, 2, "?18", 8), (1, 2, 12, 8), (1, 2, 20, 8)]
