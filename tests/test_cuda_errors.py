"""What goes wrong with a GPU, told in CUDA's own words and with what to do; on the stand-in for its driver."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cortado.runtime import ArtifactError, Net
from cortado.runtime.artifact import Artifact, Plan, Weight

from .gpu import GpuUnderTest, cubin
from .launches import AFFINE, TILED_DESCRIPTOR, chain, tiled_artifact


@pytest.mark.parametrize("wrong", [{"strides": [960, 192, 36]}, {"box": [1, 4, 4, 16]}, {"box": [1, 300, 4, 8]}])
def test_a_tensor_that_cuda_does_not_describe(gpu: GpuUnderTest, wrong: dict[str, Any]) -> None:
    with pytest.raises(
        ArtifactError, match=r"step 'move' \(launch\): CUDA rejects a descriptor of shape .*invalid arg"
    ):
        Net.from_artifact(tiled_artifact({**TILED_DESCRIPTOR, **wrong}))
    assert len(gpu.refusals) == 1
    gpu.clear_log()


@pytest.mark.parametrize(("capability", "name"), [("75", "sm_75"), ("100", "sm_100")])
def test_a_gpu_that_the_net_was_not_compiled_for(
    gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch, capability: str, name: str
) -> None:
    monkeypatch.setenv("FAKECUDA_CAPABILITY", capability)
    with pytest.raises(ArtifactError, match=rf"'scale' was compiled for sm_80 and sm_90, .*\({name}\)"):
        Net.from_artifact(chain())


def test_a_driver_that_is_older_than_the_code(gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code of CUDA 13.4 runs with drivers of 13.0, and that of 12.8 with 12.0 and newer; an older file does not say."""
    for version, runs in ((13000, (0, 12080, 13040)), (12020, (0, 12080)), (12000, (0, 12090))):
        monkeypatch.setenv("FAKECUDA_VERSION", str(version))
        shutil.copy(gpu.library, other := gpu.library.with_name(f"driver-{version}.so"))
        monkeypatch.setenv("CORTADO_LIBCUDA", str(other))
        for cuda in runs:
            Net.from_artifact(chain(cuda=cuda))
    expected = (
        r"'scale' was assembled by CUDA 13\.4, so it needs a driver for CUDA 13\.0 \(580 or newer\), "
        r"and the driver here is for CUDA 12\.0; update the driver, or compile the net again with a Triton that brings "
        r"an older assembler"
    )
    with pytest.raises(ArtifactError, match=expected):
        Net.from_artifact(chain(cuda=13040))


def test_too_little_shared_memory(gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKECUDA_CAPABILITY", "89")
    with pytest.raises(ArtifactError, match=r"needs 200,000 bytes of shared memory, and a block .* has 101,376"):
        Net.from_artifact(chain(shared=200_000))


def test_too_little_memory(gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKECUDA_MEMORY", str(1 << 20))
    plan = replace(chain().plan, arena=1 << 22)
    with pytest.raises(ArtifactError, match=r"needs 4\.0 MiB for its values on Stand-in .* out of memory .*smaller"):
        Net.from_artifact(replace(chain(), plans=(plan,)))


def test_code_without_the_kernel(gpu: GpuUnderTest) -> None:
    made = chain()
    with pytest.raises(RuntimeError, match=r"cuModuleGetFunction: named symbol not found .*compile the net again"):
        Net.from_artifact(replace(made, binaries={**made.binaries, "offset.sm_90": cubin({"other": AFFINE})}))


def test_damaged_code(gpu: GpuUnderTest) -> None:
    made = chain()
    with pytest.raises(RuntimeError, match="cuModuleLoadData: device kernel image is invalid"):
        Net.from_artifact(replace(made, binaries={**made.binaries, "offset.sm_90": torch.zeros(64, dtype=torch.uint8)}))
    assert len(gpu.refusals) == 1
    gpu.clear_log()


def test_a_grid_that_cannot_be(gpu: GpuUnderTest) -> None:
    with pytest.raises(ArtifactError, match=r"'data>mid' \(launch\): the grid is \[1, 70000, 1\]"):
        Net.from_artifact(chain(grid=[1, 70000, 1]))


def test_a_machine_without_a_gpu(gpu: GpuUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKECUDA_DEVICES", "0")
    with pytest.raises(ArtifactError, match=r"cuInit: no CUDA-capable device .*no NVIDIA GPU is visible"):
        Net.from_artifact(chain())
    monkeypatch.setenv("CORTADO_LIBCUDA", str(tmp_path / "nothing.so"))
    with pytest.raises(ArtifactError, match=r"CUDA's driver cannot be loaded \(.*nothing\.so.*compile the net for"):
        Net.from_artifact(chain())


def test_a_library_that_is_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTADO_LIBCUDA", "libm.so.6")
    with pytest.raises(ArtifactError, match="it has no cuInit; update it"):
        Net.from_artifact(chain())


def test_only_a_net_for_a_gpu_is_bound() -> None:
    plan = Plan("none", "cpu", "onednn", 1, 0, (), {}, {"b": Weight("f32", (8,), "b")}, (), (("out", "b"),))
    with pytest.raises(ValueError, match="compiled for 'cpu', and only nets for a GPU are bound"):
        Net.from_artifact(Artifact((plan,), {"b": torch.ones(8)})).bind()


def test_a_cpu_plan_cannot_launch() -> None:
    made = chain()
    with pytest.raises(ArtifactError, match=r"'data>mid' \(launch\): there is no such primitive here"):
        Net.from_artifact(replace(made, plans=(replace(made.plan, target="cpu", runner="onednn"),)))
