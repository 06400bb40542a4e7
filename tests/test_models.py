"""Trained models as their authors published them, on real inputs, against the numbers that Caffe itself computed.

Every output and every blob along the way that was recorded, by name; with all passes and with none; by the compiled
net and by the operators' own meaning. Most inputs have another size than the prototxt, so that the first call compiles
the net again. The files are not ours to ship: the tests are skipped where they are absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.reference import evaluate_blobs
from cortado.compiler.rewrite import retype
from cortado.compiler.types import TensorType
from cortado.exporters.so import export_library
from cortado.exporting import write_export
from cortado.runtime import open_library
from cortado.runtime.native.embedding import host_steps

from .shared import SHARED

MODELS, GOLDENS = SHARED / "models", SHARED / "goldens" / "models"
pytestmark = pytest.mark.skipif(not GOLDENS.exists(), reason="the published models are not here")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """A prototxt with its caffemodel, Caffe's numbers for it, and how near one has to come to them.

    Distances are relative to the largest number of a blob. Caffe's own softmax over SqueezeNet's 1,000 classes is
    1.4e-5 of the largest away from its value in float64 (cortado's is 3.6e-6 away): there `prob` counts as it is.
    """

    prototxt: str
    caffemodel: str
    golden: str
    tolerance: float = 1e-4
    absolute: tuple[str, ...] = ()


SQUEEZENET = "squeezenet-v1.1/squeezenet_v1.1.caffemodel"
CASES = [
    Model("lenet/lenet.prototxt", "lenet/lenet_iter_10000.caffemodel", "lenet-iter_10000_rand", 1e-5),
    Model("lenet/lenet.prototxt", "lenet/lenet_iter_10000.caffemodel", "lenet-iter_10000_mnist1000", 1e-5),
    Model("squeezenet-v1.1/squeezenet_v1.1.prototxt", SQUEEZENET, "squeezenet-v1.1-cat", 1e-5, ("prob",)),
    Model(
        "opencv-extra-layer-goldens/squeezenet_v1.1.prototxt",
        SQUEEZENET,
        "squeezenet-v1.1-googlenet0",
        1e-5,
        ("prob",),
    ),
    Model("open-nsfw/deploy.prototxt", "open-nsfw/resnet_50_1by2_nsfw.caffemodel", "open-nsfw-cat"),
    Model("vdsr/VDSR_net_deploy.prototxt", "vdsr/VDSR_Adam.caffemodel", "vdsr-butterfly_x3"),
    Model("mtcnn/det1.prototxt", "mtcnn/det1.caffemodel", "mtcnn-det1_test1"),
    Model("mtcnn/det2.prototxt", "mtcnn/det2.caffemodel", "mtcnn-det2_rand"),
    Model("mtcnn/det3.prototxt", "mtcnn/det3.caffemodel", "mtcnn-det3_rand"),
    Model("mtcnn/det4.prototxt", "mtcnn/det4.caffemodel", "mtcnn-det4_rand"),
]


@cache
def golden(name: str) -> tuple[Arrays, Arrays, Arrays]:
    """What was given to Caffe, what it answered, and what it had in other blobs."""
    stored = np.load(GOLDENS / f"{name}.npz")
    kinds = ("in:", "out:", "blob:")
    inputs, outputs, along = ({k[len(kind) :]: stored[k] for k in stored.files if k.startswith(kind)} for kind in kinds)
    return inputs, outputs, along


def compile_model(model: Model, **options: Any) -> driver.Compilation:
    return driver.compile_net(MODELS / model.prototxt, MODELS / model.caffemodel, driver.Options(**options))


def compare(model: Model, found: Arrays, expected: Arrays) -> None:
    for name, numbers in expected.items():
        assert found[name].shape == numbers.shape, name
        largest = 1.0 if name in model.absolute else np.abs(numbers).max()
        distance = np.abs(found[name] - numbers).max() / largest
        assert distance <= model.tolerance, f"{name} is {distance:.1e} away"


@pytest.fixture(params=CASES, ids=lambda m: m.golden)
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.param
    return found


def test_the_answers(model: Model) -> None:
    """As the model is published: its own batch and size first, then Caffe's input, compiled when it is met."""
    inputs, outputs, _ = golden(model.golden)
    net = compile_model(model).load()
    assert net.outputs.keys() == outputs.keys()
    compare(model, net(inputs), outputs)
    compare(model, net(inputs), outputs)  # in an arena full of the first run


@pytest.mark.long
def test_as_a_shared_library(model: Model, tmp_path: Path, c_compiler: None) -> None:
    """The models whose every step has a kernel in C."""
    inputs, outputs, _ = golden(model.golden)
    made = compile_model(model, target="native", shapes={name: x.shape for name, x in inputs.items()})
    if host_steps(made.artifact.plan):
        pytest.skip("a step has no kernel in C")
    write_export(export_library(made, tmp_path / "net.so"), ())
    net = open_library(tmp_path / "net.so")
    compare(model, net(inputs), outputs)
    compare(model, net(inputs), outputs)


@pytest.mark.parametrize("optimize", [True, False], ids=["optimized", "plain"])
def test_every_blob_along_the_way(model: Model, optimize: bool) -> None:
    inputs, outputs, along = golden(model.golden)
    expected = outputs | along
    shapes = {name: x.shape for name, x in inputs.items()}
    net = compile_model(model, optimize=optimize, outputs=[*expected], shapes=shapes).load()
    compare(model, net(inputs), expected)


def test_what_it_means(model: Model) -> None:
    """The operators' own meaning, before and after the passes."""
    inputs, outputs, along = golden(model.golden)
    stages = [*compile_model(model, shapes={name: x.shape for name, x in inputs.items()}).stages.by_name.values()]
    given = {name: torch.from_numpy(x) for name, x in inputs.items()}
    plain = {name: t.numpy() for name, t in evaluate_blobs(stages[0].graph, given).items()}
    compare(model, plain, outputs | along)
    compare(model, {name: t.numpy() for name, t in evaluate_blobs(stages[-1].graph, given).items()}, outputs)


def test_lenet_reads_the_same_digits_as_caffe() -> None:
    stored = np.load(GOLDENS / "lenet-mnist_1000_labelled.npz")
    for batch in (1000, 64, 1):
        net = compile_model(CASES[0], shapes={"data": (batch, 1, 28, 28)}).load()
        right = 0
        pieces = [slice(i, i + batch) for i in range(0, 1000, batch)]
        for piece in pieces if batch > 1 else islice(pieces, 100):
            right += int((net(data=stored["x"][piece])["prob"].argmax(1) == stored["y"][piece]).sum())
        assert right == {1000: 998, 64: 998, 1: 100}[batch]


@pytest.mark.parametrize("size", [(12, 12), (13, 30), (61, 47)])
def test_mtcnn_takes_pictures_of_any_size(size: tuple[int, int]) -> None:
    """Against the net's meaning, worked out for that size."""
    det1 = next(m for m in CASES if m.golden == "mtcnn-det1_test1")
    picture = np.ascontiguousarray(golden(det1.golden)[0]["data"][:, :, 100 : 100 + size[0], 100 : 100 + size[1]])
    made = compile_model(det1)
    net = made.load()
    asked = retype(made.file.graph, {"data": TensorType("f32", picture.shape)})
    expected = {name: t.numpy() for name, t in evaluate_blobs(asked, {"data": torch.from_numpy(picture)}).items()}
    compare(det1, net(data=picture), {name: expected[name] for name in net.outputs})


def test_open_nsfw_is_convolutions_and_nothing_between() -> None:
    """53 BatchNorms and Scales are folded; activations and the 16 residual sums are fused into convolutions."""
    model = next(m for m in CASES if m.golden == "open-nsfw-cat")
    made = compile_model(model)
    plan = made.artifact.plans[1]
    layers = [n.op.name for n in made.file.graph.nodes]
    assert layers.count("batch_norm") == layers.count("scale") == 53
    steps = [s.kind for s in plan.steps]
    assert "expr" not in steps
    assert steps.count("conv_packed") == 53
    assert sum(bool(s.payload.get("add")) for s in plan.steps) == 16
    assert {n.op.name for n in made.stages.by_name["fold_batchnorm"].graph.nodes}.isdisjoint({"batch_norm", "scale"})
