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
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from ....runtime.output import open_output
from ...errors import CompileError

WORKER_SCRIPT = Path(__file__).with_name("machine_code.py")
CACHE_FORMAT = "3"  # of a cache entry; a change invalidates all older entries
MAX_KERNEL_SECONDS = 600  # time limit for compiling one kernel

Job = tuple[str, str]  # (kernel name, architecture), such as ("conv_relu_0123456789ab", "sm_90")


@dataclass(frozen=True, slots=True)
class MachineCode:
    """A kernel's machine code for one architecture, and the resources it needs.

    `shared`: bytes of shared memory per block; `registers` and bytes `spilled` to the stack, per thread; `stages`: of
    the software pipeline; `wgmma`: number of Hopper tensor core instructions; `cuda`: the CUDA release of the
    assembler, 1000 × major + 10 × minor; `descriptors`: box and swizzle of each TMA descriptor, in parameter order.
    """

    cubin: bytes
    shared: int
    warps: int
    stages: int
    registers: int
    spilled: int
    wgmma: int
    cuda: int
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
        running = list[subprocess.Popen[str]]()
        with ThreadPoolExecutor(count) as pool:
            try:
                shares = [missing[k::count] for k in range(count)]
                for answers in pool.map(run_worker, shares, repeat(Path(folder)), range(count), repeat(running)):
                    for job, answer in answers.items():
                        cached[job] = write_cache(keys[job], answer)
            except BaseException:  # otherwise the pool would wait for workers whose results are not needed
                for worker in running:
                    worker.kill()
                raise
    return cached


def run_worker(
    jobs: Sequence[Job], folder: Path, number: int, running: list[subprocess.Popen[str]]
) -> dict[Job, MachineCode]:
    """Compile jobs one after another in one worker process, which is added to `running`.

    CompileError for the first that fails.
    """
    lines = [{"file": str(folder / f"{n}.py"), "name": n, "architecture": a} for n, a in jobs]
    settings = worker_settings(folder / f"triton-{number}")
    pipe, asked = subprocess.PIPE, "".join(json.dumps(line) + "\n" for line in lines)
    command = [sys.executable, str(WORKER_SCRIPT)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=settings) as worker:
        running.append(worker)
        try:
            printed, complaints = worker.communicate(asked, timeout=MAX_KERNEL_SECONDS * len(jobs))
        except BaseException:
            worker.kill()
            raise
    answers = [json.loads(line) for line in printed.splitlines()]
    for (name, architecture), answer in zip(jobs, answers, strict=False):
        if "error" in answer:
            raise compilation_error(name, architecture, answer["error"])
    if len(answers) < len(jobs):
        raise compilation_error(
            *jobs[len(answers)], complaints[-2000:] or f"the compiler ended with {worker.returncode}"
        )
    return {job: decode_answer(answer) for job, answer in zip(jobs, answers, strict=True)}


def worker_settings(triton_cache: Path) -> dict[str, str]:
    """The environment of a worker process, with this process's Triton."""
    settings = {
        **{k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", "PYTHONPATH")},
        "TRITON_CACHE_DIR": str(triton_cache),
        "TRITON_DISABLE_LINE_INFO": "1",  # line info holds paths; without it a cubin is reproducible across machines
    }
    paths = os.pathsep.join(p for p in sys.path if p and Path(p, "triton").is_dir())
    return settings | ({"PYTHONPATH": paths} if paths else {})


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
    """The kernel cache: $CORTADO_CACHE if set, else cortado/kernels in the user's cache folder.

    OSError if nobody knows where that is: $HOME is not set, and the system does not know the user.
    """
    if given := os.environ.get("CORTADO_CACHE"):
        return Path(given)
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as e:
        raise OSError(f"{e}"[:1].lower() + f"{e}"[1:].rstrip(".")) from None
    return Path(home) / "cortado" / "kernels"


def read_cache(name: str) -> MachineCode | None:
    """The cache entry of a key; None if there is none, or one that cannot be read or is damaged."""
    try:
        digest, _, text = (cache_folder() / f"{name}.json").read_text("utf-8").partition("\n")
        return decode_answer(json.loads(text)) if hashlib.sha256(text.encode()).hexdigest() == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_cache(name: str, machine: MachineCode) -> MachineCode:
    """Write an entry, whole or not at all, and return it: a hash, and the JSON that it is of.

    A cache that cannot be written costs time and nothing else: RuntimeWarning, with the reason.
    """
    text = json.dumps({**asdict(machine), "cubin": base64.b64encode(machine.cubin).decode()})
    content = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode()
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with open_output(cache_folder() / f"{name}.json", durable=False) as file:
            file.write(content)
    except OSError as e:
        sentence = f"machine code of kernels cannot be kept, and is compiled each time ({e.strerror or e})"
        warnings.warn(f"{sentence}; name a folder of yours in CORTADO_CACHE", RuntimeWarning, stacklevel=2)
    return machine
