"""What CUDA's driver is asked to do for a net, seen by a stand-in that does it on the host's memory."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_ubyte, c_void_p
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cortado.runtime import ArtifactError, Net, load
from cortado.runtime.artifact import Artifact, Plan, Slot, Step, Weight, write
from cortado.runtime.cuda import instance, program
from cortado.runtime.cuda.device import device

from .gpu import Gpu, built, cubin, number

AFFINE = "affine 8 8 4 4 4 8 8"
ROWS = 64


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("fakecuda"))


@pytest.fixture
def gpu(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """A fresh one, whose refusals fail the test that does not ask for them."""
    own = tmp_path / "libcuda.so"
    shutil.copy(library, own)
    made = Gpu(own, tmp_path / "log.jsonl")
    monkeypatch.setenv("CORTADO_LIBCUDA", str(own))
    monkeypatch.setenv("FAKECUDA_LOG", str(made.log))
    yield made
    gc.collect()
    assert made.refusals == []


def affine(x: str, y: str, count: int, a: float, b: float, kernel: str = "scale", **more: Any) -> Step:
    """y = a x + b, by a launch."""
    kind = [{"operand": 0}, {"result": 0}, {"i32": count}, {"f32": a}, {"f32": b}]
    attributes = {"kernel": kernel, "warps": 4, "shared": 0, "grid": [count // 8, 1, 1], "arguments": kind, **more}
    return Step("launch", attributes, (x,), (y,), f"{x}>{y}")


def chain(rows: int = ROWS, **more: Any) -> Artifact:
    """out = 3 (2 data + 1) - 4, and the weight w, twice."""
    count, nbytes = rows * 4, rows * 16
    slots = {
        "data": Slot("f32", (rows, 4)),
        "mid": Slot("f32", (rows, 4), at=0),
        "out": Slot("f32", (rows, 4), at=nbytes),
        "twice": Slot("f32", (8,), at=2 * nbytes),
    }
    steps = (
        affine("data", "mid", count, 2.0, 1.0, **more),
        affine("mid", "out", count, 3.0, -4.0, kernel="offset"),
        affine("w", "twice", 8, 2.0, 0.0),
    )
    weights = {"w": Weight("f32", (8,), "w8"), "unused": Weight("f32", (2,), "u2")}
    plan = Plan(
        "chain", "cuda", 2 * nbytes + 32, ("data",), slots, weights, steps, (("out", "out"), ("twice", "twice"))
    )
    cubins = {f"{name}.sm_{a}": cubin({name: AFFINE}, a) for name in ("scale", "offset") for a in (80, 90)}
    return Artifact(plan, {"w8": torch.arange(8.0), "u2": torch.ones(2)}, source=f"{rows}", cubins=cubins)


def test_from_file_to_numbers(gpu: Gpu, tmp_path: Path) -> None:
    write(tmp_path / "net.cortado", chain())
    net = load(tmp_path / "net.cortado")
    x = np.random.default_rng(0).standard_normal((ROWS, 4)).astype("f4")
    found = net(data=x)
    np.testing.assert_allclose(found["out"], 6 * x - 1, rtol=1e-6, atol=1e-6)
    assert found["twice"].tolist() == [2.0 * i for i in range(8)]
    kept = found["out"].copy()
    again = net(torch.from_numpy(-x))["out"]
    assert isinstance(again, Tensor) and np.array_equal(found["out"], kept)
    np.testing.assert_allclose(again, -6 * x - 1, rtol=1e-6, atol=1e-6)
    assert net.arena_bytes == ROWS * 32 + 32


def test_loading_does_everything_once_and_in_order(gpu: Gpu) -> None:
    Net.from_artifact(chain())
    order = gpu.order
    assert order[:2] == ["cuInit", "cuDevicePrimaryCtxRetain"]
    assert [entry["sm"] for entry in gpu.told("cuModuleLoadData")] == [90, 90]  # two kernels, three launches
    assert order.index("cuStreamBeginCapture") > max(i for i, call in enumerate(order) if call == "cuMemAlloc")
    assert [entry["bytes"] for entry in gpu.told("cuMemAlloc")] == [32, ROWS * 32 + 32, ROWS * 16]  # w, arena, data
    launches = gpu.told("cuLaunchKernel")
    assert [(entry["name"], entry["captured"]) for entry in launches] == [
        ("scale", True),
        ("offset", True),
        ("scale", True),
    ]
    assert order.count("cuStreamBeginCapture") == order.count("cuGraphInstantiate") == 1
    assert gpu.told("cuStreamEndCapture")[0]["nodes"] == 3
    assert "cuGraphLaunch" not in order


def test_the_parameters_of_a_launch(gpu: Gpu) -> None:
    Net.from_artifact(chain())
    first, second, third = gpu.told("cuLaunchKernel")
    weight, arena, data = (entry["address"] for entry in gpu.told("cuMemAlloc"))
    assert first["grid"] == [ROWS * 4 // 8, 1, 1] and first["block"] == [128, 1, 1] and first["shared"] == 0
    x, y, n, a, b, *scratch = first["parameters"]
    assert (number(x, "Q"), number(y, "Q"), number(n, "i")) == (data, arena, ROWS * 4)
    assert (number(a, "f"), number(b, "f")) == (2.0, 1.0)
    assert [number(s, "Q") for s in scratch] == [0, 0]
    assert number(second["parameters"][0], "Q") == arena and number(second["parameters"][1], "Q") == arena + ROWS * 16
    assert number(third["parameters"][0], "Q") == weight


def test_a_call_is_one_graph_launch_and_allocates_nothing(gpu: Gpu) -> None:
    net = Net.from_artifact(chain())
    (graph,) = gpu.told("cuStreamEndCapture")
    gpu.forget()
    for _ in range(3):
        net(np.zeros((ROWS, 4)))
    assert [entry["graph"] for entry in gpu.told("cuGraphLaunch")] == [graph["graph"]] * 3
    never = {"cuMemAlloc", "cuMemFree", "cuModuleLoadData", "cuLaunchKernel", "cuStreamBeginCapture", "cuStreamCreate"}
    assert not never & set(gpu.order)
    one = gpu.order[: len(gpu.order) // 3]
    assert one.index("cuMemcpyHtoDAsync") < one.index("cuGraphLaunch") < one.index("cuMemcpyDtoHAsync")
    assert gpu.order == one * 3


def test_much_shared_memory_is_asked_for(gpu: Gpu) -> None:
    Net.from_artifact(chain(shared=100_000))
    (asked,) = gpu.told("cuFuncSetAttribute")
    assert (asked["name"], asked["attribute"], asked["value"]) == ("scale", 8, 100_000)
    order = gpu.order
    assert order.index("cuFuncSetAttribute") < order.index("cuStreamBeginCapture")
    assert [entry["shared"] for entry in gpu.told("cuLaunchKernel")] == [100_000, 0, 0]


TILED = {
    "of": {"operand": 0},
    "dtype": "f32",
    "shape": [2, 5, 6, 8],
    "strides": [960, 192, 32],
    "box": [1, 4, 4, 8],
    "swizzle": 1,
}


def tiled(form: Mapping[str, Any] = TILED) -> Artifact:
    """A picture in nhwc through a tensor descriptor."""
    slots = {"data": Slot("f32", (2, 8, 5, 6), "nhwc"), "out": Slot("f32", (2, 8, 5, 6), "nhwc", 0)}
    arguments = [{"descriptor": dict(form)}, {"result": 0}]
    attributes = {"kernel": "move", "warps": 8, "grid": [2, 3, 4], "arguments": arguments}
    steps = (Step("launch", attributes, ("data",), ("out",), "move"),)
    plan = Plan("tiled", "cuda-f16", 1920, ("data",), slots, {}, steps, (("out", "out"),))
    code = cubin({"move": "tiled 128 4 4 4 4 8 8 8 8 8 8 8"})
    return Artifact(plan, {}, cubins={"move.sm_90": code})


def test_tensor_descriptors(gpu: Gpu) -> None:
    net = Net.from_artifact(tiled())
    (asked,) = gpu.told("cuTensorMapEncodeTiled")
    (launch,) = gpu.told("cuLaunchKernel")
    data = gpu.told("cuMemAlloc")[1]["address"]
    assert asked == {
        "call": "cuTensorMapEncodeTiled",
        "type": 7,  # CU_TENSOR_MAP_DATA_TYPE_FLOAT32
        "base": data,
        "dims": [8, 6, 5, 2],
        "strides": [32, 192, 960],
        "box": [8, 4, 4, 1],
        "swizzle": 1,
        "promotion": 2,
    }
    tensor_map, *rest = launch["parameters"]
    assert len(tensor_map) == 256
    assert [number(value, "i") for value in rest[:4]] == [2, 5, 6, 8]
    assert [number(value, "q") for value in rest[4:8]] == [240, 48, 8, 1]  # elements
    assert launch["grid"] == [2, 3, 4] and launch["block"] == [256, 1, 1]
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(net(x)["out"], x)


@pytest.mark.parametrize("wrong", [{"strides": [960, 192, 36]}, {"box": [1, 4, 4, 16]}, {"box": [1, 300, 4, 8]}])
def test_a_tensor_that_cuda_does_not_describe(gpu: Gpu, wrong: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=r"step 'move' \(launch\): CUDA describes no tensor of shape .*invalid arg"):
        Net.from_artifact(tiled({**TILED, **wrong}))
    assert len(gpu.refusals) == 1
    gpu.forget()


def test_the_newest_code_that_the_gpu_runs(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKECUDA_CAPABILITY", "86")
    variants = {"sm_80": {"kernel": "small", "warps": 2, "grid": [5, 1, 1]}}
    made = chain(variants=variants)
    net = Net.from_artifact(replace(made, cubins={**made.cubins, "small.sm_80": cubin({"small": AFFINE}, 80)}))
    assert [entry["sm"] for entry in gpu.told("cuModuleLoadData")] == [80] * 3
    first = gpu.told("cuLaunchKernel")[0]
    assert (first["name"], first["block"], first["grid"]) == ("small", [64, 1, 1], [5, 1, 1])
    assert net(np.ones((ROWS, 4)))["out"][0, 0] == 5


@pytest.mark.parametrize("capability, name", [("75", "sm_75"), ("100", "sm_100")])
def test_a_gpu_that_the_net_was_not_compiled_for(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, capability: str, name: str
) -> None:
    monkeypatch.setenv("FAKECUDA_CAPABILITY", capability)
    with pytest.raises(ArtifactError, match=rf"'scale' was compiled for sm_80 and sm_90, .*\({name}\)"):
        Net.from_artifact(chain())


def test_too_little_shared_memory(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKECUDA_CAPABILITY", "89")
    with pytest.raises(ArtifactError, match=r"needs 200,000 bytes of shared memory, and a block .* has 101,376"):
        Net.from_artifact(chain(shared=200_000))


def test_too_little_memory(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKECUDA_MEMORY", str(1 << 20))
    plan = replace(chain().plan, arena=1 << 22)
    with pytest.raises(ArtifactError, match=r"needs 4\.0 MiB for its values on Stand-in .* out of memory .*smaller"):
        Net.from_artifact(replace(chain(), plan=plan))


def test_code_without_the_kernel(gpu: Gpu) -> None:
    made = chain()
    with pytest.raises(RuntimeError, match=r"cuModuleGetFunction: named symbol not found .*compile the net again"):
        Net.from_artifact(replace(made, cubins={**made.cubins, "offset.sm_90": cubin({"other": AFFINE})}))


def test_damaged_code(gpu: Gpu) -> None:
    made = chain()
    with pytest.raises(RuntimeError, match="cuModuleLoadData: device kernel image is invalid"):
        Net.from_artifact(replace(made, cubins={**made.cubins, "offset.sm_90": torch.zeros(64, dtype=torch.uint8)}))
    assert len(gpu.refusals) == 1
    gpu.forget()


def test_a_grid_that_cannot_be(gpu: Gpu) -> None:
    with pytest.raises(ArtifactError, match=r"'data>mid' \(launch\): the grid is \[1, 70000, 1\]"):
        Net.from_artifact(chain(grid=[1, 70000, 1]))


def test_a_machine_without_a_gpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKECUDA_DEVICES", "0")
    with pytest.raises(ArtifactError, match=r"cuInit: no CUDA-capable device .*there is no NVIDIA GPU to be seen"):
        Net.from_artifact(chain())
    monkeypatch.setenv("CORTADO_LIBCUDA", str(tmp_path / "nothing.so"))
    with pytest.raises(ArtifactError, match=r"CUDA's driver cannot be loaded \(.*nothing\.so.*compile the net for"):
        Net.from_artifact(chain())


def test_a_library_that_is_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTADO_LIBCUDA", "libm.so.6")
    with pytest.raises(ArtifactError, match="it has no cuInit; update it"):
        Net.from_artifact(chain())


def test_a_net_gives_its_memory_back(gpu: Gpu) -> None:
    """At once, without waiting for Python to look for circles: a GPU's memory is not what makes it look."""
    net = Net.from_artifact(chain())
    net(np.zeros((ROWS, 4)))
    gc.disable()
    try:
        del net
    finally:
        gc.enable()
    taken = sorted(entry["address"] for entry in gpu.told("cuMemAlloc"))
    assert taken == sorted(entry["address"] for entry in gpu.told("cuMemFree"))
    order = gpu.order
    for made, gone in [
        ("cuModuleLoadData", "cuModuleUnload"),
        ("cuStreamCreate", "cuStreamDestroy"),
        ("cuEventCreate", "cuEventDestroy"),
        ("cuGraphInstantiate", "cuGraphExecDestroy"),
    ]:
        assert order.count(made) == order.count(gone) > 0, made


def test_a_thread_keeps_its_own_context(gpu: Gpu) -> None:
    """One that chose another GPU for its work goes on with that one after a call."""
    net = Net.from_artifact(chain())
    calls, found = device().driver, c_void_p(1)
    calls.cuCtxGetCurrent(byref(found))
    assert found.value is None
    with device().current():
        net(np.zeros((ROWS, 4)))
        calls.cuCtxGetCurrent(byref(found))
        assert found.value == device().context.value


def test_threads_share_weights_and_not_memory(gpu: Gpu) -> None:
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
    assert gpu.order.count("cuMemAlloc") == 1 + 2 * instances and gpu.order.count("cuModuleLoadData") == 2


def test_a_run_waits_for_the_last_run_of_its_memory(gpu: Gpu) -> None:
    net = Net.from_artifact(chain())
    net(np.zeros((ROWS, 4)))
    gpu.forget()
    net(np.zeros((ROWS, 4)))
    wait, record = gpu.told("cuStreamWaitEvent")[0], gpu.told("cuEventRecord")[0]
    assert wait["event"] == record["event"]
    assert gpu.order[0] == "cuStreamWaitEvent" and gpu.order[-1] == "cuEventRecord"


def test_other_shapes_share_weights_and_kernels(gpu: Gpu) -> None:
    def compile(source: str, shapes: Mapping[str, Any], weights: Mapping[str, Tensor], target: str) -> Artifact:
        assert target == "cuda"
        return chain(shapes["data"][0])

    net = Net.from_artifact(chain(), compile=compile)
    gpu.forget()
    for rows in (16, 128, 16):
        assert (net(np.ones((rows, 4)))["out"] == 5).all()
    assert [entry["bytes"] for entry in gpu.told("cuMemAlloc")] == [16 * 32 + 32, 16 * 16, 128 * 32 + 32, 128 * 16]
    assert "cuModuleLoadData" not in gpu.order


def cut() -> Artifact:
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
    return replace(made, plan=replace(made.plan, slots=slots, steps=steps, outputs=outputs))


def test_the_host_cuts_the_graph(gpu: Gpu) -> None:
    net = Net.from_artifact(cut(), layers={"negate": lambda attributes, x: -x})
    assert [entry["nodes"] for entry in gpu.told("cuStreamEndCapture")] == [1, 2]
    gpu.forget()
    x = np.random.default_rng(1).standard_normal((ROWS, 4)).astype("f4")
    found = net(x)
    np.testing.assert_allclose(found["out"], 3 * -(2 * x + 1) - 4, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["prob"], torch.from_numpy(found["out"]).softmax(1), atol=1e-6)
    assert np.array_equal(found["data"], x) and found["w"].tolist() == list(range(8))
    around = [c for c in gpu.order if c in ("cuGraphLaunch", "cuMemcpyDtoHAsync", "cuMemcpyHtoDAsync")]
    assert around[:4] == ["cuMemcpyHtoDAsync", "cuGraphLaunch", "cuMemcpyDtoHAsync", "cuMemcpyHtoDAsync"]
    assert around.count("cuGraphLaunch") == 2 and "cuMemAlloc" not in gpu.order


def test_counts_that_are_known_when_the_net_runs(gpu: Gpu) -> None:
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
    plan = Plan("counted", "cuda", 192, ("data",), slots, {}, steps, (("same", "same"), ("kept", "kept")))
    artifact = Artifact(plan, {}, cubins={"scale.sm_90": cubin({"scale": AFFINE})})
    net = Net.from_artifact(artifact, layers={"keep": lambda attributes, x: x[x[:, 0] > 0]})
    for count in (3, 0, 6):
        x = -torch.ones(9, 4)
        x[:count] = torch.rand(count, 4) + 0.5
        found = net(x)
        assert torch.equal(found["kept"], x[:count]) and torch.equal(found["same"], 2 * x[:count] + 1)
    with pytest.raises(ValueError, match=r"step 'keep': 'kept' came out as \[9, 4\], planned for \['\?6', 4\]"):
        net(torch.ones(9, 4))


def test_a_part_of_the_channels_begins_where_it_lies(gpu: Gpu) -> None:
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
    plan = Plan("parts", "cuda", 64, ("data",), slots, {}, steps, (("both", "both"), ("right", "right")))
    artifact = Artifact(plan, {}, cubins={"scale.sm_90": cubin({"scale": AFFINE})})
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
        with device().current():
            buffer = device().allocate(tensor.numel() * tensor.element_size(), "a tensor")
        return tensor_over(buffer, device()).view(tensor.dtype).view(tensor.shape).copy_(tensor)

    monkeypatch.setattr(program, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(program, "check_home", lambda name, tensor, device: None)
    monkeypatch.setattr(program, "current_stream", lambda device: 0)
    monkeypatch.setattr(program, "home", lambda device: "cpu")
    monkeypatch.setattr(instance, "tensor_over", tensor_over)
    return moved


def test_arrays_on_the_gpu_stay_there(gpu: Gpu, to_gpu: Callable[[Tensor], Tensor]) -> None:
    net, x = Net.from_artifact(chain()), to_gpu(torch.randn(ROWS, 4))
    net(x)
    gpu.forget()
    found = net(x)
    torch.testing.assert_close(found["out"], 6 * x - 1)
    assert gpu.order == ["cuStreamWaitEvent", "cuMemcpyDtoDAsync", "cuGraphLaunch", "cuEventRecord"]
    assert {entry["stream"] for entry in gpu.told()} == {0}  # torch's, so that its work and ours are in order
    kept = found["out"].clone()
    net(to_gpu(-x))
    assert torch.equal(found["out"], kept)


def test_bound_arrays_are_read_where_they_lie(gpu: Gpu, to_gpu: Callable[[Tensor], Tensor]) -> None:
    net, x = Net.from_artifact(chain()), to_gpu(torch.zeros(ROWS, 4))
    before = len(gpu.told("cuMemAlloc"))
    run = net.bind(data=x)
    assert len(gpu.told("cuMemAlloc")) == before + 1  # an arena, and no input
    gpu.forget()
    x.copy_(torch.randn(ROWS, 4))
    first = run()
    torch.testing.assert_close(first["out"], 6 * x - 1)
    x.fill_(7)
    run()
    assert (first["out"] == 41).all()  # overwritten by the next call, as told
    assert set(gpu.order) == {"cuGraphLaunch"}
    for wrong, sentence in [
        (x.double(), r"should be f32\[64,4\] in nchw order"),
        (torch.zeros(4, ROWS).t(), "cannot be read as it is"),
        (to_gpu(torch.zeros(ROWS * 4 + 1))[1:].view(ROWS, 4), "multiple of 16"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            net.bind(data=wrong)


def test_only_a_net_for_a_gpu_is_bound() -> None:
    plan = Plan("none", "cpu", 0, (), {}, {"b": Weight("f32", (8,), "b")}, (), (("out", "b"),))
    with pytest.raises(ValueError, match="compiled for 'cpu', and only nets for a GPU are bound"):
        Net.from_artifact(Artifact(plan, {"b": torch.ones(8)})).bind()


def test_a_cpu_plan_cannot_launch() -> None:
    made = chain()
    with pytest.raises(ArtifactError, match=r"'data>mid' \(launch\) is nothing that the cpu does"):
        Net.from_artifact(replace(made, plan=replace(made.plan, target="cpu")))


def test_the_gpu_is_imported_only_for_nets_that_need_it() -> None:
    code = "import sys, cortado.runtime; print({'triton', 'cortado.runtime.cuda'} & set(sys.modules))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root / ".src", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
