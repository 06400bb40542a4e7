"""What CUDA's driver is asked to do for a net, seen by a stand-in that does it on the host's memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cortado.runtime import Net, load
from cortado.runtime.artifact import write

from .gpu import GpuUnderTest, cubin, unpack_number
from .launches import AFFINE, ROWS, chain, tiled_artifact


def test_from_file_to_numbers(gpu: GpuUnderTest, tmp_path: Path) -> None:
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


def test_loading_does_everything_once_and_in_order(gpu: GpuUnderTest) -> None:
    Net.from_artifact(chain())
    order = gpu.call_names
    assert order[:2] == ["cuInit", "cuDevicePrimaryCtxRetain"]
    assert [entry["sm"] for entry in gpu.log_entries("cuModuleLoadData")] == [90, 90]  # two kernels, three launches
    assert order.index("cuStreamBeginCapture") > max(i for i, call in enumerate(order) if call == "cuMemAlloc")
    assert [entry["bytes"] for entry in gpu.allocations] == [32, ROWS * 32 + 32, ROWS * 16]  # w, arena, data
    assert order.count("cuMemAlloc") == 3 + 2  # and one for each kernel
    launches = gpu.log_entries("cuLaunchKernel")
    assert [(entry["name"], entry["captured"]) for entry in launches] == [
        ("scale", True),
        ("offset", True),
        ("scale", True),
    ]
    assert order.count("cuStreamBeginCapture") == order.count("cuGraphInstantiate") == 1
    assert gpu.log_entries("cuStreamEndCapture")[0]["nodes"] == 3
    assert "cuGraphLaunch" not in order


def test_the_parameters_of_a_launch(gpu: GpuUnderTest) -> None:
    Net.from_artifact(chain())
    first, second, third = gpu.log_entries("cuLaunchKernel")
    weight, arena, data = (entry["address"] for entry in gpu.allocations)
    assert first["grid"] == [ROWS * 4 // 8, 1, 1] and first["block"] == [128, 1, 1] and first["shared"] == 0
    x, y, n, a, b, *scratch = first["parameters"]
    assert (unpack_number(x, "Q"), unpack_number(y, "Q"), unpack_number(n, "i")) == (data, arena, ROWS * 4)
    assert (unpack_number(a, "f"), unpack_number(b, "f")) == (2.0, 1.0)
    assert [unpack_number(s, "Q") for s in scratch] == [0, 0]
    assert (
        unpack_number(second["parameters"][0], "Q") == arena
        and unpack_number(second["parameters"][1], "Q") == arena + ROWS * 16
    )
    assert unpack_number(third["parameters"][0], "Q") == weight


def test_a_call_is_one_graph_launch_and_allocates_nothing(gpu: GpuUnderTest) -> None:
    net = Net.from_artifact(chain())
    (graph,) = gpu.log_entries("cuStreamEndCapture")
    gpu.clear_log()
    for _ in range(3):
        net(np.zeros((ROWS, 4)))
    assert [entry["graph"] for entry in gpu.log_entries("cuGraphLaunch")] == [graph["graph"]] * 3
    never = {"cuMemAlloc", "cuMemFree", "cuModuleLoadData", "cuLaunchKernel", "cuStreamBeginCapture", "cuStreamCreate"}
    assert not never & set(gpu.call_names)
    one = gpu.call_names[: len(gpu.call_names) // 3]
    assert one.index("cuMemcpyHtoDAsync") < one.index("cuGraphLaunch") < one.index("cuMemcpyDtoHAsync")
    assert gpu.call_names == one * 3


def test_much_shared_memory_is_asked_for(gpu: GpuUnderTest) -> None:
    Net.from_artifact(chain(shared=100_000))
    asked = [(entry["name"], entry["attribute"], entry["value"]) for entry in gpu.log_entries("cuFuncSetAttribute")]
    assert asked == [("scale", 8, 100_000), ("scale", 9, 100)]  # as much as that, and the multiprocessor split for it
    order = gpu.call_names
    assert order.index("cuFuncSetAttribute") < order.index("cuStreamBeginCapture")
    assert [entry["shared"] for entry in gpu.log_entries("cuLaunchKernel")] == [100_000, 0, 0]


def test_a_launch_that_overlaps_asks_for_it(gpu: GpuUnderTest) -> None:
    """Only with a driver whose graphs keep it; the values are as without."""
    net, x = Net.from_artifact(chain(overlaps=True)), np.ones((ROWS, 4), np.float32)
    assert [entry["name"] for entry in gpu.log_entries("cuLaunchKernelEx")] == ["scale"]
    np.testing.assert_allclose(net(x)["out"], 3 * (2 * x + 1) - 4)


def test_tensor_descriptors(gpu: GpuUnderTest) -> None:
    net = Net.from_artifact(tiled_artifact())
    (asked,) = gpu.log_entries("cuTensorMapEncodeTiled")
    (launch,) = gpu.log_entries("cuLaunchKernel")
    data = gpu.allocations[1]["address"]
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
    assert [unpack_number(value, "i") for value in rest[:4]] == [2, 5, 6, 8]
    assert [unpack_number(value, "q") for value in rest[4:8]] == [240, 48, 8, 1]  # elements
    assert launch["grid"] == [2, 3, 4] and launch["block"] == [256, 1, 1]
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(net(x)["out"], x)


def test_the_newest_code_that_the_gpu_runs(gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKECUDA_CAPABILITY", "86")
    variants = {"sm_80": {"kernel": "small", "warps": 2, "grid": [5, 1, 1]}}
    made = chain(variants=variants)
    net = Net.from_artifact(replace(made, binaries={**made.binaries, "small.sm_80": cubin({"small": AFFINE}, 80)}))
    assert [entry["sm"] for entry in gpu.log_entries("cuModuleLoadData")] == [80] * 3
    first = gpu.log_entries("cuLaunchKernel")[0]
    assert (first["name"], first["block"], first["grid"]) == ("small", [64, 1, 1], [5, 1, 1])
    assert net(np.ones((ROWS, 4)))["out"][0, 0] == 5


def test_the_gpu_is_imported_only_for_nets_that_need_it() -> None:
    code = "import sys, cortado.runtime; print({'triton', 'cortado.runtime.cuda'} & set(sys.modules))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root / ".src", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
