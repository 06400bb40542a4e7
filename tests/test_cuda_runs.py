"""Nets that run on a GPU beside others, with the host's help, and over the caller's memory; on the stand-in."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_ubyte, c_void_p
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cortado.runtime import Net
from cortado.runtime.artifact import Artifact, Plan, Slot, Step
from cortado.runtime.cuda import instance, program
from cortado.runtime.cuda.device import Stream, device
from cortado.runtime.cuda.driver import CudaError
from cortado.runtime.cuda.modules import Kernel

from .gpu import GpuUnderTest, cubin
from .launches import AFFINE, ROWS, affine, chain


def test_a_net_gives_its_memory_back(gpu: GpuUnderTest) -> None:
    """At once, without waiting for Python to look for circles: a GPU's memory is not what makes it look."""
    net = Net.from_artifact(chain())
    net(np.zeros((ROWS, 4)))
    gc.disable()
    try:
        del net
    finally:
        gc.enable()
    taken = sorted(entry["address"] for entry in gpu.log_entries("cuMemAlloc"))
    assert taken == sorted(entry["address"] for entry in gpu.log_entries("cuMemFree"))
    order = gpu.call_names
    for made, gone in [
        ("cuModuleLoadData", "cuModuleUnload"),
        ("cuStreamCreate", "cuStreamDestroy"),
        ("cuEventCreate", "cuEventDestroy"),
        ("cuGraphInstantiate", "cuGraphExecDestroy"),
    ]:
        assert order.count(made) == order.count(gone) > 0, made


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this thread", "in another"])
def test_a_net_that_goes_while_another_library_captures(gpu: GpuUnderTest, elsewhere: bool) -> None:
    """torch captures in mode "global", in which freeing memory would invalidate what it captures."""
    net = Net.from_artifact(chain())
    calls, graph = device().driver, c_void_p()
    with device().make_current():
        torchs = Stream(device())
        calls.cuStreamBeginCapture_v2(torchs.handle, 0)
        if elsewhere:
            kept = [net]
            del net
            thread = threading.Thread(target=kept.clear)
            thread.start()
            thread.join()
        else:
            del net
        assert {"cuMemFree", "cuModuleUnload", "cuGraphExecDestroy"} <= set(gpu.call_names)
        calls.cuStreamEndCapture(torchs.handle, byref(graph))
        calls.cuStreamBeginCapture_v2(torchs.handle, 0)
        with pytest.raises(CudaError, match="cuMemFree_v2"):  # the stand-in refuses it otherwise
            calls.cuMemFree_v2(0)
        with pytest.raises(CudaError, match="cuStreamEndCapture"):
            calls.cuStreamEndCapture(torchs.handle, byref(graph))
    gpu.clear_log()


def test_code_is_unloaded_when_the_gpu_has_finished(gpu: GpuUnderTest) -> None:
    """Which CUDA waits for where it frees memory; waiting for the whole context would disturb captures."""
    device().set_current()
    kernel = Kernel(device(), "scale", cubin({"scale": AFFINE}), 0)
    (fence,) = gpu.log_entries("cuMemAlloc")
    gpu.clear_log()
    del kernel
    assert gpu.call_names == ["cuMemFree", "cuModuleUnload"]
    assert gpu.log_entries("cuMemFree")[0]["address"] == fence["address"]


def test_a_thread_keeps_its_own_context(gpu: GpuUnderTest) -> None:
    """One that chose another GPU for its work goes on with that one after a call."""
    net = Net.from_artifact(chain())
    calls, found = device().driver, c_void_p(1)
    calls.cuCtxGetCurrent(byref(found))
    assert found.value is None
    with device().make_current():
        net(np.zeros((ROWS, 4)))
        calls.cuCtxGetCurrent(byref(found))
        assert found.value == device().context.value


def test_threads_share_weights_and_not_memory(gpu: GpuUnderTest) -> None:
    net = Net.from_artifact(chain())
    inputs = [np.full((ROWS, 4), i, "f4") for i in range(60)]
    barrier = threading.Barrier(3)

    def run(part: int) -> list[Any]:
        barrier.wait()
        return [net(x)["out"] for x in inputs[part::3]]

    with ThreadPoolExecutor(3) as pool:
        for part, found in enumerate(pool.map(run, range(3))):
            for x, out in zip(inputs[part::3], found, strict=True):
                assert np.array_equal(out, 6 * x - 1)
    (program,) = net.programs.values()
    instances = len(program.pool)  # type: ignore[attr-defined]
    assert 1 <= instances <= 3
    assert len(gpu.allocations) == 1 + 2 * instances and gpu.call_names.count("cuModuleLoadData") == 2


def test_a_run_waits_for_the_last_run_of_its_memory(gpu: GpuUnderTest) -> None:
    net = Net.from_artifact(chain())
    net(np.zeros((ROWS, 4)))
    gpu.clear_log()
    net(np.zeros((ROWS, 4)))
    wait, record = gpu.log_entries("cuStreamWaitEvent")[0], gpu.log_entries("cuEventRecord")[0]
    assert wait["event"] == record["event"]
    assert gpu.call_names[0] == "cuStreamWaitEvent" and gpu.call_names[-1] == "cuEventRecord"


def test_other_shapes_share_weights_and_kernels(gpu: GpuUnderTest) -> None:
    def compile(source: str, shapes: Mapping[str, Any], weights: Mapping[str, Tensor], target: str) -> Artifact:
        assert target == "cuda"
        return chain(shapes["data"][0])

    net = Net.from_artifact(chain(), compile=compile)
    gpu.clear_log()
    for rows in (16, 128, 16):
        assert (net(np.ones((rows, 4)))["out"] == 5).all()
    assert [entry["bytes"] for entry in gpu.log_entries("cuMemAlloc")] == [
        16 * 32 + 32,
        16 * 16,
        128 * 32 + 32,
        128 * 16,
    ]
    assert "cuModuleLoadData" not in gpu.call_names


def chain_with_host_steps() -> Artifact:
    """A layer of the caller's between two launches, and a softmax at the end, which the host computes too."""
    made = chain()
    slots = {**made.plan.slots, "user": Slot("f32", (ROWS, 4), at=0), "prob": Slot("f32", (ROWS, 4), at=0)}
    steps = (
        made.plan.steps[0],
        Step("user", {"layer": "negate"}, ("mid",), ("user",), "negate"),
        affine("user", "out", ROWS * 4, 3.0, -4.0, kernel="offset"),
        made.plan.steps[2],
        Step("softmax", {"axis": 1}, ("out",), ("prob",), "softmax"),
    )
    outputs = (("out", "out"), ("twice", "twice"), ("prob", "prob"), ("data", "data"), ("w", "w"))
    return replace(made, plans=(replace(made.plan, slots=slots, steps=steps, outputs=outputs),))


def test_the_host_cuts_the_graph(gpu: GpuUnderTest) -> None:
    net = Net.from_artifact(chain_with_host_steps(), layers={"negate": lambda attributes, x: -x})
    assert [entry["nodes"] for entry in gpu.log_entries("cuStreamEndCapture")] == [1, 2]
    gpu.clear_log()
    x = np.random.default_rng(1).standard_normal((ROWS, 4)).astype("f4")
    found = net(x)
    np.testing.assert_allclose(found["out"], 3 * -(2 * x + 1) - 4, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["prob"], torch.from_numpy(found["out"]).softmax(1), atol=1e-6)
    assert np.array_equal(found["data"], x) and found["w"].tolist() == list(range(8))
    around = [c for c in gpu.call_names if c in ("cuGraphLaunch", "cuMemcpyDtoHAsync", "cuMemcpyHtoDAsync")]
    assert around[:4] == ["cuMemcpyHtoDAsync", "cuGraphLaunch", "cuMemcpyDtoHAsync", "cuMemcpyHtoDAsync"]
    assert around.count("cuGraphLaunch") == 2 and "cuMemAlloc" not in gpu.call_names


def test_counts_that_are_known_when_the_net_runs(gpu: GpuUnderTest) -> None:
    slots = {
        "data": Slot("f32", (9, 4)),
        "kept": Slot("f32", ("?6", 4), at=0),
        "out": Slot("f32", ("?6", 4), at=96),
        "same": Slot("f32", ("?6", 4), at=96),
    }
    steps = (
        Step("user", {"layer": "keep"}, ("data",), ("kept",), "keep"),
        affine("kept", "out", 24, 2.0, 1.0),
        Step("view", {}, ("out",), ("same",), "same"),
    )
    plan = Plan("counted", "cuda", "cuda", 1, 192, ("data",), slots, {}, steps, (("same", "same"), ("kept", "kept")))
    artifact = Artifact((plan,), {}, binaries={"scale.sm_90": cubin({"scale": AFFINE})})
    net = Net.from_artifact(artifact, layers={"keep": lambda attributes, x: x[x[:, 0] > 0]})
    for count in (3, 0, 6):
        x = -torch.ones(9, 4)
        x[:count] = torch.rand(count, 4) + 0.5
        found = net(x)
        assert torch.equal(found["kept"], x[:count]) and torch.equal(found["same"], 2 * x[:count] + 1)
    with pytest.raises(ValueError, match=r"step 'keep': 'kept' came out as \[9, 4\], planned for \['\?6', 4\]"):
        net(torch.ones(9, 4))


def test_a_part_of_the_channels_begins_where_it_lies(gpu: GpuUnderTest) -> None:
    """Two launches write their channels of one stored tensor; a third value is seen by the host only."""
    slots = {
        "data": Slot("f32", (1, 4, 2, 2)),
        "left": Slot("f32", (1, 2, 2, 2), "nchw", 0, (0, 4)),
        "right": Slot("f32", (1, 2, 2, 2), "nchw", 0, (2, 4)),
        "both": Slot("f32", (1, 4, 2, 2), "nchw", 0),
    }
    steps = (
        affine("data", "left", 8, 2.0, 0.0),
        Step("user", {"layer": "half"}, ("data",), ("right",), "half"),
        Step("view", {}, ("left", "right"), ("both",), "both"),
    )
    plan = Plan("parts", "cuda", "cuda", 1, 64, ("data",), slots, {}, steps, (("both", "both"), ("right", "right")))
    artifact = Artifact((plan,), {}, binaries={"scale.sm_90": cubin({"scale": AFFINE})})
    net = Net.from_artifact(artifact, layers={"half": lambda attributes, x: x[:, :2] / 2})
    x = torch.randn(1, 4, 2, 2)
    found = net(x)
    assert torch.equal(found["both"], torch.cat([2 * x[:, :2], x[:, :2] / 2], 1))
    assert torch.equal(found["right"], x[:, :2] / 2)


@pytest.fixture
def to_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tensor], Tensor]:
    """torch with a GPU, as far as it can be had here: the stand-in's memory is the host's, so its tensors are too.

    Gives what `tensor.cuda()` would.
    """

    def tensor_over(buffer: Any, device: Any) -> Tensor:
        memory = (c_ubyte * buffer.nbytes).from_address(buffer.address)
        memory.kept = buffer
        return torch.frombuffer(memory, dtype=torch.uint8)

    def moved(tensor: Tensor) -> Tensor:
        with device().make_current():
            buffer = device().allocate(tensor.numel() * tensor.element_size(), "a tensor")
        return tensor_over(buffer, device()).view(tensor.dtype).view(tensor.shape).copy_(tensor)

    monkeypatch.setattr(program, "is_on_gpu", lambda tensor: True)
    monkeypatch.setattr(program, "require_same_device", lambda name, tensor, device: None)
    monkeypatch.setattr(program, "current_stream", lambda device: 0)
    monkeypatch.setattr(program, "torch_device", lambda device: "cpu")
    monkeypatch.setattr(instance, "tensor_over", tensor_over)
    return moved


def test_arrays_on_the_gpu_stay_there(gpu: GpuUnderTest, to_gpu: Callable[[Tensor], Tensor]) -> None:
    net, x = Net.from_artifact(chain()), to_gpu(torch.randn(ROWS, 4))
    net(x)
    gpu.clear_log()
    found = net(x)
    torch.testing.assert_close(found["out"], 6 * x - 1)
    assert gpu.call_names == ["cuStreamWaitEvent", "cuMemcpyDtoDAsync", "cuGraphLaunch", "cuEventRecord"]
    assert {entry["stream"] for entry in gpu.log_entries()} == {0}  # torch's, so that its work and ours are in order
    kept = found["out"].clone()
    net(to_gpu(-x))
    assert torch.equal(found["out"], kept)


def test_bound_arrays_are_read_where_they_lie(gpu: GpuUnderTest, to_gpu: Callable[[Tensor], Tensor]) -> None:
    net, x = Net.from_artifact(chain()), to_gpu(torch.zeros(ROWS, 4))
    before = len(gpu.log_entries("cuMemAlloc"))
    run = net.bind(data=x)
    assert len(gpu.log_entries("cuMemAlloc")) == before + 1  # an arena, and no input
    gpu.clear_log()
    x.copy_(torch.randn(ROWS, 4))
    first = run()
    torch.testing.assert_close(first["out"], 6 * x - 1)
    x.fill_(7)
    run()
    assert (first["out"] == 41).all()  # overwritten by the next call, as told
    assert set(gpu.call_names) == {"cuGraphLaunch"}
    for wrong, sentence in [
        (x.double(), r"should be f32\[64,4\] in nchw order"),
        (torch.zeros(4, ROWS).t(), "cannot be read as it is"),
        (to_gpu(torch.zeros(ROWS * 4 + 1))[1:].view(ROWS, 4), "multiple of 16"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            net.bind(data=wrong)
