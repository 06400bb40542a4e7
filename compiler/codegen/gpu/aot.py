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

WORKER = Path(__file__).with_name("machine_code.py")
FORMAT = "1"  # of what is kept; a new one forgets the old
LONGEST = 600  # seconds that one kernel may take

Job = tuple[str, str]  # a kernel's name, and the architecture that it is compiled for


@dataclass(frozen=True, slots=True)
class Machine:
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


def machine_code(texts: Mapping[str, str], jobs: Sequence[Job], workers: int | None = None) -> dict[Job, Machine]:
    """The code for all jobs; `texts` are the kernels' files by name. CompileError with Triton's words if one fails."""
    keys = {job: key(texts[job[0]], job) for job in dict.fromkeys(jobs)}
    found = {job: machine for job in keys if (machine := kept(keys[job])) is not None}
    todo = [job for job in keys if job not in found]
    if not todo:
        return found
    count = min(workers or os.cpu_count() or 1, len(todo))
    with tempfile.TemporaryDirectory(prefix="cortado-") as folder:
        for name in {name for name, _ in todo}:
            (Path(folder) / f"{name}.py").write_text(texts[name], "utf-8")
        with ThreadPoolExecutor(count) as pool:
            for answers in pool.map(lambda k: worked(todo[k::count], Path(folder), k), range(count)):
                for job, answer in answers.items():
                    found[job] = keep(keys[job], answer)
    return found


def worked(jobs: Sequence[Job], folder: Path, number: int) -> dict[Job, Machine]:
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
        [sys.executable, WORKER],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        env=settings,
        timeout=LONGEST * len(jobs),
    )
    answers = [json.loads(line) for line in worker.stdout.splitlines()]
    for (name, architecture), answer in zip(jobs, answers, strict=False):
        if "error" in answer:
            raise failed(name, architecture, answer["error"])
    if len(answers) < len(jobs):
        raise failed(*jobs[len(answers)], worker.stderr[-2000:] or f"the compiler ended with {worker.returncode}")
    return {job: decoded(answer) for job, answer in zip(jobs, answers, strict=True)}


def failed(name: str, architecture: str, why: str) -> CompileError:
    advice = "Triton compiles kernels: pip install triton." if "No module named 'triton'" in why else ""
    return CompileError(f"kernel {name} cannot be compiled for {architecture}: {why}", advice=advice)


def decoded(answer: dict[str, Any]) -> Machine:
    return Machine(
        **{**answer, "cubin": base64.b64decode(answer["cubin"]), "descriptors": tuple(answer["descriptors"])}
    )


def key(text: str, job: Job) -> str:
    """What the code is made from: the file below its docstring, the compiler's version, the architecture."""
    try:
        compiler = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        compiler = "none"
    code = text.split('"""\n\nimport triton', 1)[1]
    return hashlib.sha256("\n".join([FORMAT, compiler, *job, code]).encode()).hexdigest()


def folder() -> Path:
    """Where compiled kernels are kept: $CORTADO_CACHE, or the user's cache folder."""
    if given := os.environ.get("CORTADO_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cortado" / "kernels"


def kept(name: str) -> Machine | None:
    """What the cache holds under a key. What cannot be read is not there."""
    try:
        return decoded(json.loads((folder() / f"{name}.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(name: str, machine: Machine) -> Machine:
    """Write to the cache, whole or not at all; a cache that cannot be written is none."""
    text = json.dumps({**asdict(machine), "cubin": base64.b64encode(machine.cubin).decode()})
    try:
        folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder(), prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(folder() / f"{name}.json")
    except OSError:
        pass
    return machine
