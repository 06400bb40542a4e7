"""The part of the CUDA driver API that the runtime calls: functions, argument types, constants (cuda.h, 12.0+)."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import (
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_size_t,
    c_ubyte,
    c_uint,
    c_uint32,
    c_uint64,
    c_ulonglong,
    c_void_p,
)
from typing import Any

Pointer = c_uint64
"""A CUdeviceptr: an address in GPU memory, as an integer."""
HandleOut = POINTER(c_void_p)
DRIVER_FUNCTIONS: Mapping[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (HandleOut, c_int),
    "cuCtxGetCurrent": (HandleOut,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuModuleLoadData": (HandleOut, c_void_p),
    "cuModuleUnload": (c_void_p,),
    "cuModuleGetFunction": (HandleOut, c_void_p, c_char_p),
    "cuFuncSetAttribute": (c_void_p, c_int, c_int),
    "cuMemAlloc_v2": (POINTER(Pointer), c_size_t),
    "cuMemFree_v2": (Pointer,),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemcpyHtoDAsync_v2": (Pointer, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, Pointer, c_size_t, c_void_p),
    "cuMemcpyDtoDAsync_v2": (Pointer, Pointer, c_size_t, c_void_p),
    "cuMemsetD8Async": (Pointer, c_ubyte, c_size_t, c_void_p),
    "cuStreamCreate": (HandleOut, c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuEventCreate": (HandleOut, c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventDestroy_v2": (c_void_p,),
    "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    "cuThreadExchangeStreamCaptureMode": (POINTER(c_int),),
    "cuLaunchKernelEx": (c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, HandleOut),
    "cuGraphInstantiateWithFlags": (HandleOut, c_void_p, c_ulonglong),
    "cuGraphUpload": (c_void_p, c_void_p),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
    "cuTensorMapEncodeTiled": (
        c_void_p,
        c_int,
        c_uint32,
        c_void_p,
        POINTER(c_uint64),
        POINTER(c_uint64),
        POINTER(c_uint32),
        POINTER(c_uint32),
        *[c_int] * 4,
    ),
}
"""Argument types by function name. All functions return a CUresult; 0 is success."""

OPTIONAL_FUNCTIONS = ("cuTensorMapEncodeTiled", "cuLaunchKernelEx")
"""Functions missing in drivers before 12.0, needed only on sm_90."""

OVERLAP_IN_GRAPHS = 12030
"""The first driver that captures programmatic dependent launches in a graph (CUDA 12.3)."""


class LaunchAttribute(Structure):
    """CUlaunchAttribute: an id, and a union of 64 bytes, of which these attributes use a number."""

    _fields_ = (("id", c_int), ("padding", c_int), ("value", c_int), ("rest", c_ubyte * 60))


class LaunchConfig(Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("shared", c_uint),
        ("stream", c_void_p),
        ("attributes", POINTER(LaunchAttribute)),
        ("count", c_uint),
    )


PROGRAMMATIC_STREAM_SERIALIZATION = 6  # CUlaunchAttributeID
SUCCESS = 0
OUT_OF_MEMORY = 2
COMPUTE_MAJOR, COMPUTE_MINOR, SHARED_PER_BLOCK_OPTIN = 75, 76, 97  # CUdevice_attribute
MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
SHARED_CARVEOUT = 9  # CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, in per cent of the most
DEFAULT_SHARED_LIMIT = 48 << 10
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: it does not wait for the legacy default stream
DISABLE_TIMING = 2  # CU_EVENT_DISABLE_TIMING
CAPTURE_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: allows freeing the memory of another net during capture
TENSOR_MAP_BYTES, TENSOR_MAP_ALIGNMENT = 128, 64
TENSOR_MAP_DTYPES: Mapping[str, tuple[int, int]] = {"f16": (6, 2), "f32": (7, 4), "bf16": (9, 2)}
"""By dtype: CUtensorMapDataType and bytes per element."""
INTERLEAVE_NONE, L2_PROMOTION_128B, FILL_ZERO = 0, 2, 0

ADVICE: Mapping[int, str] = {
    2: "use a smaller batch, or close other programs that use the GPU's memory",
    3: "CUDA cannot be used after a fork: load the net in the process that uses it (multiprocessing: spawn)",
    46: "another process has exclusive use of the GPU",
    100: "no NVIDIA GPU is visible (CUDA_VISIBLE_DEVICES hides those that it does not list)",
    200: "the compiled kernel is damaged, or made for a newer driver: update the driver or compile the net again",
    209: "the kernel was compiled for another GPU: compile the net again",
    500: "the compiled kernel is not the one that the plan names: compile the net again",
    700: "the GPU's state is lost: start a new process; if it happens again, the net was compiled wrongly",
    701: "the kernel needs more resources than the GPU has: compile the net again for this GPU",
    716: "the GPU's state is lost: start a new process; if it happens again, the net was compiled wrongly",
    719: "the GPU's state is lost: start a new process; if it happens again, the net was compiled wrongly",
    803: "the driver was updated while the system was running: restart it",
    804: "the driver is too old for the installed CUDA libraries: update it",
}
"""Advice for error messages, by CUresult."""
