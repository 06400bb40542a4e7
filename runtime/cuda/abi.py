"""The part of CUDA's driver interface that we call: functions, their arguments, constants (cuda.h, 12.0 and newer)."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import (
    POINTER,
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
"""A CUdeviceptr: an address in the GPU's memory, a number here."""
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
    "cuCtxSynchronize": (),
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
"""Arguments by name. All return a CUresult; 0 is success."""

OPTIONAL_FUNCTIONS = ("cuTensorMapEncodeTiled",)
"""Not in drivers before 12.0, and needed only on sm_90."""

SUCCESS = 0
OUT_OF_MEMORY = 2
COMPUTE_MAJOR, COMPUTE_MINOR, SHARED_PER_BLOCK_OPTIN = 75, 76, 97  # CUdevice_attribute
MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
DEFAULT_SHARED_LIMIT = 48 << 10
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: it does not wait for the legacy default stream
DISABLE_TIMING = 2  # CU_EVENT_DISABLE_TIMING
CAPTURE_RELAXED = 2  # a net that is collected while another is captured may give its memory back
TENSOR_MAP_BYTES, TENSOR_MAP_ALIGNMENT = 128, 64
TENSOR_MAP_DTYPES: Mapping[str, tuple[int, int]] = {"f16": (6, 2), "f32": (7, 4), "bf16": (9, 2)}
"""CUtensorMapDataType and the element's bytes."""
INTERLEAVE_NONE, L2_PROMOTION_128B, FILL_ZERO = 0, 2, 0

ADVICE: Mapping[int, str] = {
    2: "use a smaller batch, or close what else holds the GPU's memory",
    3: "CUDA does not survive a fork: load the net in the process that uses it (multiprocessing: spawn)",
    46: "another process holds the GPU for itself",
    100: "there is no NVIDIA GPU to be seen here (CUDA_VISIBLE_DEVICES hides those that it does not name)",
    200: "the compiled kernel is damaged, or made for a newer driver: update the driver or compile the net again",
    209: "the kernel was compiled for another GPU: compile the net again",
    500: "the compiled kernel is not the one that the plan names: compile the net again",
    700: "the GPU's state is lost: start a new process; if it happens again, the net was compiled wrongly",
    701: "the kernel needs more of the GPU than it has: compile the net again for it",
    716: "the GPU's state is lost: start a new process; if it happens again, the net was compiled wrongly",
    719: "the GPU's state is lost: start a new process; if it happens again, the net was compiled wrongly",
    803: "the driver was updated under a running system: restart it",
    804: "the driver is too old for the CUDA libraries beside it: update it",
}
"""What to do, by CUresult."""
