"""What is known of the GPUs that kernels are made for."""

from __future__ import annotations

from ....runtime.artifact import LARGEST_GRID as LARGEST_GRID
from ....runtime.artifact import WARP_SIZE as WARP_SIZE

NEWEST_ARCHITECTURE, OLDEST_ARCHITECTURE = "sm_90", "sm_80"
MULTIPROCESSORS = 132  # of an H100 or H200: with fewer programs some are idle
MAX_SHARED = 227 << 10  # bytes of shared memory per block on sm_90
REGISTERS = 65536  # per multiprocessor
