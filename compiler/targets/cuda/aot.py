"""Machine code for kernels, made ahead of time in worker processes, and kept in the user's cache by content."""

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
CACHE_FORMAT = "1"  # of what is kept; a new one forgets the old
MAX_KERNEL_SECONDS = 600  # seconds that one kernel may take

Job = tuple[str, str]  # a kernel's name, and the architecture that it is compiled for


@dataclass(frozen=True, slots=True)
class MachineCode:
    """A kernel's machine code for one architecture, and what it takes to run it.

    `shared` bytes and `registers` of a thread, bytes `spilled` to its stack, steps loaded ahead (`stages`), tensor core
    instructions of Hopper's kind (`wgmma`), and the boxes and swizzles of its descriptors, in order.
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
    """The code for all jobs; `texts` are the kernels' files by name. CompileError with Triton's words if one fails."""
    keys = {job: cache_key(texts[job[0]], job) for job in dict.fromkeys(jobs)}
    found = {job: machine for job in keys if (machine := read_cache(keys[job])) is not None}
    todo = [job for job in keys if job not in found]
    if not todo:
        return found
    count = min(workers or os.cpu_count() or 1, len(todo))
    with tempfile.TemporaryDirectory(prefix="cortado-") as folder:
        for name in {name for name, _ in todo}:
            (Path(folder) / f"{name}.py").write_text(texts[name], "utf-8")
        with ThreadPoolExecutor(count) as pool:
            for answers in pool.map(lambda k: run_worker(todo[k::count], Path(folder), k), range(count)):
                for job, answer in answers.items():
                    found[job] = write_cache(keys[job], answer)
    return found


def run_worker(jobs: Sequence[Job], folder: Path, number: int) -> dict[Job, MachineCode]:
    """One worker process, from start to end."""
    lines = [{"file": str(folder / f"{n}.py"), "name": n, "architecture": a} for n, a in jobs]
    settings = {
        **{k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", "PYTHONPATH")},
        "TRITON_CACHE_DIR": str(folder / f"triton-{number}"),
        "TRITON_DISABLE_LINE_INFO": "1",  # it holds paths: without it the same kernel is the same bytes everywhere
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
    """What the code is made from: the file below its docstring, the compiler's version, the architecture."""
    try:
        compiler = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        compiler = "none"
    code = text.split('"""\n\nimport triton', 1)[1]
    return hashlib.sha256("\n".join([CACHE_FORMAT, compiler, *job, code]).encode()).hexdigest()


def cache_folder() -> Path:
    """Where compiled kernels are kept: $CORTADO_CACHE, or the user's cache folder."""
    if given := os.environ.get("CORTADO_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cortado" / "kernels"


def read_cache(name: str) -> MachineCode | None:
    """What the cache holds under a key. What cannot be read is not there."""
    try:
        return decode_answer(json.loads((cache_folder() / f"{name}.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_cache(name: str, machine: MachineCode) -> MachineCode:
    """Write to the cache, whole or not at all; a cache that cannot be written is none."""
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
