"""What the processor offers: how many floats a vector has, how many registers there are, how many threads may run."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """`vector` is floats in a vector register, `registers` how many of those there are; `flags` are the compiler's."""

    name: str
    vector: int
    registers: int
    flags: tuple[str, ...]
    threads: int = 1

    def vectors(self, numbers: int) -> int:
        """How many vectors hold so many numbers."""
        return -(-numbers // self.vector)


MACHINES = {
    "avx512": Machine("avx512", 16, 32, ("-march=x86-64-v4", "-mprefer-vector-width=512")),
    "avx2": Machine("avx2", 8, 16, ("-march=x86-64-v3",)),
    "sse": Machine("sse", 4, 16, ("-march=x86-64",)),
    "neon": Machine("neon", 4, 32, ("-march=armv8-a",)),
    "plain": Machine("plain", 4, 16, ()),
}
PROCESSORS = {  # by the compilers' name of a kind of processor, for C that is written for others than this one
    "x86-64-v4": "avx512",
    "x86-64-v3": "avx2",
    "x86-64": "sse",
    "armv8-a": "neon",
    "generic": "plain",
}
ARCHITECTURES = {"avx512": "x86_64", "avx2": "x86_64", "sse": "x86_64", "neon": "aarch64"}  # of machines
THREADS_AHEAD = 4  # that work is divided for, where it is not known who runs it; any other number works, too
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"}
AVX2 = {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"}


def machine_here() -> Machine:
    """The machine that this process runs on: its processor, and the threads that it may use."""
    found = MACHINES[processor_kind()]
    return Machine(found.name, found.vector, found.registers, found.flags, usable_threads())


def machine_of(processor: str = "") -> Machine:
    """The machine that C is written for ahead of time: a name of PROCESSORS, or "" for this one's processor."""
    return replace(MACHINES[PROCESSORS[processor] if processor else processor_kind()], threads=THREADS_AHEAD)


def processor_name(machine: Machine) -> str:
    """The name of a machine in PROCESSORS."""
    return next(processor for processor, name in PROCESSORS.items() if name == machine.name)


@cache
def processor_kind() -> str:
    arch = platform.machine().lower()
    if arch in ("x86_64", "amd64"):
        flags = processor_flags()
        return "avx512" if flags >= AVX512 else "avx2" if flags >= AVX2 else "sse"
    return "neon" if arch in ("aarch64", "arm64") else "plain"


def processor_flags() -> frozenset[str]:
    """The features that the kernel lists for the first processor; none where there is no such list."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())


def usable_threads() -> int:
    """Processors that this process may run on, but no more than its control group's share."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count
