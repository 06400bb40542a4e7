"""OpenCV's numbers of backends and targets, and the target of cortado that they mean."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache

from ...runtime.artifact import ArtifactError
from ...runtime.cuda.device import device

DNN_BACKEND_DEFAULT, DNN_BACKEND_OPENCV, DNN_BACKEND_CUDA = 0, 3, 5
DNN_TARGET_CPU, DNN_TARGET_CUDA, DNN_TARGET_CUDA_FP16 = 0, 6, 7
BACKENDS: Mapping[int, str] = {
    0: "DEFAULT", 1: "HALIDE", 2: "INFERENCE_ENGINE", 3: "OPENCV", 4: "VKCOM", 5: "CUDA", 6: "WEBNN", 7: "TIMVX",
    8: "CANN",
}  # fmt: skip
TARGETS: Mapping[int, str] = {
    0: "CPU", 1: "OPENCL", 2: "OPENCL_FP16", 3: "MYRIAD", 4: "VULKAN", 5: "FPGA", 6: "CUDA", 7: "CUDA_FP16", 8: "HDDL",
    9: "NPU", 10: "CPU_FP16",
}  # fmt: skip
MEANT = ("DEFAULT", "OPENCV", "CPU")  # for which nothing is said


def warn_if_foreign(names: Mapping[int, str], number: int, kind: str) -> None:
    """Warn once about a backend or target that cortado does not have: the CPU computes it."""
    name = names.get(number, str(number))
    if name not in MEANT:
        warn_once(f"cortado has no {kind} {name}: nets run on the CPU")


def choose_target(backend: int, target: int) -> str:
    """The target of cortado for a backend and a target: the GPU where CUDA is asked for and there is one."""
    if backend != DNN_BACKEND_CUDA and target not in (DNN_TARGET_CUDA, DNN_TARGET_CUDA_FP16):
        return "cpu"
    if reason := reason_without_gpu():
        warn_once(f"nets run on the CPU: {reason}")
        return "cpu"
    return "cuda-f16" if target == DNN_TARGET_CUDA_FP16 else "cuda"


@cache
def reason_without_gpu() -> str:
    """Why there is no GPU that can be used, or ""."""
    try:
        device()
    except ArtifactError as e:
        return "CUDA's driver is not here" if "cannot be loaded" in str(e) else str(e)
    return ""


@cache
def warn_once(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=5)
