"""Compiles kernels ahead of time in worker processes, and caches the machine code by a hash of its source."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import CompileError

WORKER_SCRIPT = Path(__file__).with_name("machine_code.py")
CACHE_FORMAT = "1"  # of a cache entry; a change invalidates all older entries
MAX_KERNEL_SECONDS = 600  # time limit for compiling one kernel

Job = tuple[str, str]  # (kernel name, architecture), such as ("conv_relu_0123456789ab", "sm_90")


@dataclass(frozen=True, slots=True)
class MachineCode:
    """A kernel's machine code for one architecture, and the resources it needs.

    `shared`: bytes of shared memory per block; `registers` and bytes `spilled` to the stack, per thread; `stages`: of
    the software pipeline; `wgmma`: number of Hopper tensor core instructions; `descriptors`: box and swizzle of each
    TMA descriptor, in parameter order.
    """

    cubin: bytes
    shared: int
    warps: int
    stages: int
    registers: int
    spilled: int
    wgmma: int
    descriptors: tuple[dict[str, Any], ...] = ()


def compile_machine_code(
    texts: Mapping[str, str], jobs: Sequence[Job], workers: int | None = None
) -> dict[Job, MachineCode]:
    """Machine code for all jobs, from the cache where it is there. `texts`: source by kernel name.

    CompileError with Triton's message if a kernel fails.
    """
    keys = {job: cache_key(texts[job[0]], job) for job in dict.fromkeys(jobs)}
    cached = {job: machine for job in keys if (machine := read_cache(keys[job])) is not None}
    missing = [job for job in keys if job not in cached]
    if not missing:
        return cached
    count = min(workers or os.cpu_count() or 1, len(missing))
    with tempfile.TemporaryDirectory(prefix="cortado-") as folder:
        for name in {name for name, _ in missing}:
            (Path(folder) / f"{name}.py").write_text(texts[name], "utf-8")
        with ThreadPoolExecutor(count) as pool:
            for answers in pool.map(lambda k: run_worker(missing[k::count], Path(folder), k), range(count)):
                for job, answer in answers.items():
                    cached[job] = write_cache(keys[job], answer)
    return cached


def run_worker(jobs: Sequence[Job], folder: Path, number: int) -> dict[Job, MachineCode]:
    """Compile jobs one after another in one worker process. CompileError for the first that fails."""
    lines = [{"file": str(folder / f"{n}.py"), "name": n, "architecture": a} for n, a in jobs]
    settings = {
        **{k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", "PYTHONPATH")},
        "TRITON_CACHE_DIR": str(folder / f"triton-{number}"),
        "TRITON_DISABLE_LINE_INFO": "1",  # line info holds paths; without it a cubin is reproducible across machines
    }
    paths = os.pathsep.join(p for p in sys.path if p and Path(p, "triton").is_dir())
    settings |= {"PYTHONPATH": paths} if paths else {}
    worker = subprocess.run(
        [sys.executable, WORKER_SCRIPT],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        env=settings,
        timeout=MAX_KERNEL_SECONDS * len(jobs),
    )
    answers = [json.loads(line) for line in worker.stdout.splitlines()]
    for (name, architecture), answer in zip(jobs, answers, strict=False):
        if "error" in answer:
            raise compilation_error(name, architecture, answer["error"])
    if len(answers) < len(jobs):
        raise compilation_error(
            *jobs[len(answers)], worker.stderr[-2000:] or f"the compiler ended with {worker.returncode}"
        )
    return {job: decode_answer(answer) for job, answer in zip(jobs, answers, strict=True)}


def compilation_error(name: str, architecture: str, why: str) -> CompileError:
    advice = "Triton compiles kernels: pip install triton." if "No module named 'triton'" in why else ""
    return CompileError(f"kernel {name} cannot be compiled for {architecture}: {why}", advice=advice)


def decode_answer(answer: dict[str, Any]) -> MachineCode:
    return MachineCode(
        **{**answer, "cubin": base64.b64decode(answer["cubin"]), "descriptors": tuple(answer["descriptors"])}
    )


def cache_key(text: str, job: Job) -> str:
    """sha256, in hex, of all that determines the code: source below the docstring, Triton version, architecture."""
    try:
        compiler = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        compiler = "none"
    code = text.split('"""\n\nimport triton', 1)[1]
    return hashlib.sha256("\n".join([CACHE_FORMAT, compiler, *job, code]).encode()).hexdigest()


def cache_folder() -> Path:
    """The kernel cache: $CORTADO_CACHE if set, else cortado/kernels in the user's cache folder."""
    if given := os.environ.get("CORTADO_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cortado" / "kernels"


def read_cache(name: str) -> MachineCode | None:
    """The cache entry of a key; None if there is none, or an unreadable one."""
    try:
        return decode_answer(json.loads((cache_folder() / f"{name}.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_cache(name: str, machine: MachineCode) -> MachineCode:
    """Write an entry atomically, and return it. A cache that cannot be written is ignored."""
    text = json.dumps({**asdict(machine), "cubin": base64.b64encode(machine.cubin).decode()})
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cache_folder(), prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(cache_folder() / f"{name}.json")
    except OSError:
        pass
    return machine
