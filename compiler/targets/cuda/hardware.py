"""What is known of the GPUs that kernels are made for."""

from __future__ import annotations

NEWEST_ARCHITECTURE, OLDEST_ARCHITECTURE = "sm_90", "sm_80"
MULTIPROCESSORS = 132  # of an H100 or H200: with fewer programs some are idle
MAX_SHARED = 227 << 10  # bytes of shared memory per block on sm_90
LARGEST_GRID = (2**31 - 1, 65535, 65535)  # programs along each axis (CUDA C++ Programming Guide, compute capabilities)
REGISTERS = 65536  # per multiprocessor
WARP_SIZE = 32
