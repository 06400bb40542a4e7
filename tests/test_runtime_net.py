"""A net called as its users call it: arrays in, arrays out, errors that help, threads, and shapes learnt on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cortado.runtime import ArtifactError, Net, load
from cortado.runtime.artifact import Artifact, Plan, Slot, Step, Weight, write
from cortado.runtime.onednn import OneDnnProgram

SEEDED = torch.Generator().manual_seed(0)
W, B, M, C = (torch.randn(shape, generator=SEEDED) for shape in ((8, 3, 3, 3), (8,), (5, 16), (5,)))
WEIGHTS = {"w": W, "b": B, "m": M, "c": C}
CONV = {"stride": [1], "pad": [1], "dilation": [1], "bias": True, "activation": "relu"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def fire(n: int = 2, size: int = 6) -> Artifact:
    """Two convolutions that write into one concat, pooled, and a linear on top, in two layouts."""
    image = n * 16 * size * size * 4
    slots = {
        "data": Slot("f32", (n, 3, size, size)),
        "left": Slot("f32", (n, 8, size, size), "nhwc", 0, (0, 16)),
        "right": Slot("f32", (n, 8, size, size), "nhwc", 0, (8, 16)),
        "both": Slot("f32", (n, 16, size, size), "nhwc", 0),
        "pooled": Slot("f32", (n, 16, 1, 1), "nchw", image),
        "score": Slot("f32", (n, 5), "nchw", image + n * 64),
        "prob": Slot("f32", (n, 5), "nchw", image + n * 64),
    }
    weights = {name: Weight("f32", tuple(t.shape), name) for name, t in WEIGHTS.items()}
    steps = (
        Step("conv_packed", CONV, ("data", "w", "b"), ("left",), "left"),
        Step("conv_packed", CONV | {"activation": ""}, ("data", "w", "b"), ("right",), "right"),
        Step("concat", {"axis": 1}, ("left", "right"), ("both",), "cat"),
        Step("avg_pool", {}, ("both",), ("pooled",), "pool"),
        Step("linear_packed", {"bias": True}, ("pooled", "m", "c"), ("score",), "ip"),
        Step("softmax", {}, ("score",), ("prob",), "softmax"),
    )
    plan = Plan(
        "fire",
        "cpu",
        "onednn",
        1,
        image + n * 128,
        ("data",),
        slots,
        weights,
        steps,
        (("prob", "prob"), ("raw", "data"), ("bias", "b")),
    )
    return Artifact((plan,), WEIGHTS, source=f"fire {size}")


def expected_output(x: Tensor) -> Tensor:
    y = F.conv2d(x, W, B, padding=1)
    return F.linear(torch.cat([y.relu(), y], 1).mean((2, 3)), M, C).softmax(1)


def test_from_file_to_numbers(tmp_path: Path) -> None:
    write(tmp_path / "net.cortado", fire())
    net = load(tmp_path / "net.cortado", threads=1)
    x = torch.randn(2, 3, 6, 6)
    found = net(data=x.numpy())
    assert isinstance(found["prob"], np.ndarray) and found["prob"].flags.writeable
    np.testing.assert_allclose(found["prob"], expected_output(x), atol=1e-6)
    assert np.array_equal(found["raw"], x) and np.array_equal(found["bias"], B)
    assert {name: str(spec) for name, spec in net.inputs.items()} == {"data": "f32[2,3,6,6]"}
    assert str(net.outputs["prob"]) == "f32[2,5]" and net.arena_bytes == net.plan.arena
    assert "fire(data: f32[2,3,6,6])" in repr(net)


def test_results_are_fresh_and_of_the_callers_kind() -> None:
    net, x = Net.from_artifact(fire()), torch.randn(2, 3, 6, 6)
    first = net({"data": x})["prob"]
    kept = first.clone()
    net(-x)
    assert isinstance(first, Tensor) and torch.equal(first, kept) and not first.is_inference()
    raw = net(x)["raw"]
    assert raw.data_ptr() != x.data_ptr()
    torch.testing.assert_close(net(x.requires_grad_())["prob"], kept)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i8", ">i4", "f8", ">f4", "f2", "?"])
def test_numbers_of_any_kind(dtype: str) -> None:
    net, x = Net.from_artifact(fire()), (np.arange(216).reshape(2, 3, 6, 6) % 2).astype(dtype)
    np.testing.assert_allclose(net(x)["prob"], expected_output(torch.from_numpy(x.astype("f4"))), atol=1e-6)
    backwards = np.broadcast_to(x[:1, :, ::-1], x.shape)  # read-only, strides of 0 and below
    np.testing.assert_allclose(
        net(backwards)["prob"], expected_output(torch.from_numpy(backwards.astype("f4"))), atol=1e-6
    )


def test_nan_goes_through() -> None:
    x = np.zeros((2, 3, 6, 6))
    x[0] = np.nan
    prob = Net.from_artifact(fire())(x)["prob"]
    assert np.isnan(prob[0]).all() and not np.isnan(prob[1]).any()


def test_mistakes_are_told() -> None:
    net, x = Net.from_artifact(fire()), np.zeros((2, 3, 6, 6), "f4")
    for wrong, sentence in [
        ({"image": x}, r"no input 'image'; it takes data: f32\[2,3,6,6\]"),
        ({}, "input 'data' is missing"),
        ({"data": x[0]}, "3 dimensions"),
        ({"data": x[:1]}, r"holds the shapes data \[2, 3, 6, 6\] and was given data \[1, 3, 6, 6\]"),
        ({"data": x.astype("c8")}, "complex64"),
        ({"data": torch.zeros(2, 3, 6, 6, dtype=torch.complex64)}, "complex"),
        ({"data": np.array(["a"])}, "numbers"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            net(**wrong)
    with pytest.raises(ArtifactError, match="needs the runner 'triton'"):
        Net.from_artifact(replace(fire(), plans=(replace(fire().plan, runner="triton"),)))


def test_steps_that_do_not_fit_are_refused_at_load() -> None:
    plan = fire().plan
    narrow = {name: replace(plan.slots[name], dims=(2, 4)) for name in ("score", "prob")}
    with pytest.raises(
        ArtifactError, match=r"'ip' \(linear_packed\): 'score' is planned as \[2, 4\], and \[2, 5\] comes out"
    ):
        Net.from_artifact(replace(fire(), plans=(replace(plan, slots={**plan.slots, **narrow}),)))


def test_more_memory_than_there_is() -> None:
    plan = replace(fire().plan, arena=1 << 47)
    with pytest.raises(ArtifactError, match="not that much memory"):
        Net.from_artifact(replace(fire(), plans=(plan,)))(np.zeros((2, 3, 6, 6)))


def test_threads_share_a_net() -> None:
    net = Net.from_artifact(fire())
    inputs = [torch.randn(2, 3, 6, 6) for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: net(x)["prob"], inputs * 5))
    for x, prob in zip(inputs * 5, found, strict=True):
        torch.testing.assert_close(prob, expected_output(x), atol=1e-6, rtol=0)
    (program,) = net.programs.values()
    assert isinstance(program, OneDnnProgram) and 1 <= len(program.pool) <= 4


def test_a_new_shape_is_compiled_once_and_weights_are_packed_once() -> None:
    asked = []

    def compile(
        source: str, shapes: Mapping[str, Sequence[int | str]], weights: Mapping[str, Tensor], target: str
    ) -> Artifact:
        n, _, size, _ = shapes["data"]
        if isinstance(n, str) or isinstance(size, str):
            raise ValueError("its sizes have to be known")
        asked.append((source, dict(shapes), set(weights), target))
        return fire(n, size)

    net = Net.from_artifact(fire(), compile=compile)
    packed = [packed_tensors(net)]
    for _ in range(2):
        for shape in ((1, 3, 9, 9), (2, 3, 6, 6)):
            x = torch.randn(shape)
            torch.testing.assert_close(net(x)["prob"], expected_output(x), atol=1e-6, rtol=0)
        packed.append(packed_tensors(net))
    assert asked == [("fire 6", {"data": (1, 3, 9, 9)}, {"w", "b", "m", "c"}, "cpu")]
    assert len(packed[0]) == 2 and {key[:2] for key in packed[0]} == {key[:2] for key in packed[2]}
    assert packed[0].items() <= packed[1].items() and packed[1] == packed[2]


def packed_tensors(net: Net) -> dict[Any, int]:
    """Which packed weights there are. oneDNN may want one in several forms, by the image's size."""
    return {key: id(made) for key, made in net.table.packed_weights.cache.items() if isinstance(made, Tensor)}


def test_whole_numbers_stay_whole() -> None:
    slots = {"label": Slot("i32", (3,)), "y": Slot("i32", (3,), at=0)}
    plan = Plan(
        "ints", "cpu", "onednn", 1, 64, ("label",), slots, {}, (Step("copy", {}, ("label",), ("y",)),), (("y", "y"),)
    )
    net = Net.from_artifact(Artifact((plan,), {}))
    assert net([1.0, 2.0, 3.0])["y"].tolist() == [1, 2, 3] and net([1, 2, 3])["y"].dtype == np.int32
    with pytest.raises(ValueError, match="whole numbers"):
        net([1.0, 2.5, 3.0])


def test_a_net_without_inputs_or_steps() -> None:
    plan = Plan("none", "cpu", "onednn", 1, 0, (), {}, {"b": Weight("f32", (8,), "b")}, (), (("out", "b"),))
    assert np.array_equal(Net.from_artifact(Artifact((plan,), {"b": B}))()["out"], B)


def dynamic_artifact() -> Artifact:
    """A user's layer keeps the rows above 0.5; what follows learns their number only then."""
    slots = {
        "data": Slot("f32", (1, 1, 9, 2)),
        "kept": Slot("f32", (1, 1, "?6", 2), at=0),
        "rows": Slot("f32", ("?6", 2), at=64),
        "scaled": Slot("f32", ("?6", 2), at=64),
        "score": Slot("f32", ("?6", 5), at=128),
        "more": Slot("f32", ("?12", 5), at=256),
    }
    weights = {"m": Weight("f32", (5, 2), "m2"), "s": Weight("f32", (2,), "s")}
    steps = (
        Step("user", {"layer": "keep", "attributes": {"above": 0.5}}, ("data",), ("kept",), "keep"),
        Step("reshape", {}, ("kept",), ("rows",), "rows"),
        Step("expr", {"code": [["mul", 0, 1]], "axes": [None, 1]}, ("rows", "s"), ("scaled",), "scale"),
        Step("linear_packed", {}, ("scaled", "m"), ("score",), "ip"),
        Step("concat", {"axis": 0}, ("score", "score"), ("more",), "twice"),
    )
    plan = Plan(
        "counted",
        "cpu",
        "onednn",
        1,
        512,
        ("data",),
        slots,
        weights,
        steps,
        (("score", "score"), ("kept", "kept"), ("more", "more")),
    )
    return Artifact((plan,), {"m2": M[:, :2].contiguous(), "s": torch.tensor([2.0, 3.0])})


def keep(attributes: dict[str, float], x: Tensor) -> Tensor:
    return x[:, :, x[0, 0, :, 0] > attributes["above"]]


def test_counts_that_are_known_when_the_net_runs() -> None:
    net = Net.from_artifact(dynamic_artifact(), layers={"keep": keep})
    assert str(net.outputs["kept"]) == "f32[1,1,?6,2]"
    for count in (3, 0, 6, 1):
        x = torch.zeros(1, 1, 9, 2)
        x[0, 0, :count] = torch.rand(count, 2) / 2 + 0.5
        found = net(x)
        assert torch.equal(found["kept"], x[:, :, :count])
        score = F.linear(x[0, 0, :count] * torch.tensor([2.0, 3.0]), M[:, :2])
        torch.testing.assert_close(found["score"], score, atol=1e-6, rtol=0)
        assert torch.equal(found["more"], torch.cat([found["score"]] * 2))
    assert len(net.table.packed_weights.cache) == 1
    with pytest.raises(
        ValueError, match=r"step 'keep': 'kept' came out as \[1, 1, 9, 2\], planned for \[1, 1, '\?6', 2\]"
    ):
        net(torch.ones(1, 1, 9, 2))


def test_a_layer_of_the_callers_has_to_be_given() -> None:
    with pytest.raises(ArtifactError, match="needs your function 'keep'"):
        Net.from_artifact(dynamic_artifact())


def test_inputs_may_have_counts() -> None:
    slots = {"rois": Slot("f32", ("?4", 5)), "y": Slot("f32", ("?4", 5), at=0)}
    plan = Plan(
        "rois", "cpu", "onednn", 1, 128, ("rois",), slots, {}, (Step("softmax", {}, ("rois",), ("y",)),), (("y", "y"),)
    )
    net = Net.from_artifact(Artifact((plan,), {}))
    for count in (4, 2, 0):
        assert net(torch.randn(count, 5))["y"].shape == (count, 5)
    with pytest.raises(ValueError, match=r"holds the shapes rois \[\?4, 5\]"):
        net(torch.randn(5, 5))


def test_a_layout_may_be_declared_for_an_input() -> None:
    plan = fire().plan
    slots: dict[str, Any] = {**plan.slots, "data": Slot("f32", (2, 3, 6, 6), "nhwc")}
    net = Net.from_artifact(replace(fire(), plans=(replace(plan, slots=slots),)))
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(net(x)["prob"], expected_output(x), atol=1e-6, rtol=0)
    assert net(x)["raw"].is_contiguous()


def test_importing_the_runtime_is_thin() -> None:
    code = """
import sys, cortado.runtime
heavy = "cortado.compiler cortado.passes cortado.frontends lark google.protobuf networkx triton PIL".split()
print([name for name in heavy if name in sys.modules])
"""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root / ".src", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
