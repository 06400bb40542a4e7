"""Memory and time to read, compile, write and load a 500 MB caffemodel, compared with plain reads and writes.

    python benchmarks/big_files.py [--megabytes 500] [--nets folding ...] [--jobs compile ...] [--out FILE]

big_nets.py writes the files to a temporary folder. Each number comes from a fresh process. Peak memory is Linux's
VmHWM, so this runs on Linux only; it includes touched pages of mapped files, which the system can reclaim at any time.
"More" is the peak minus the memory after all imports; "anonymous" is the part that is not backed by a file (sampled
each millisecond). Both are relative to the size of the caffemodel. Seconds are the best of several runs in one process,
interleaved with their plain counterpart; files are in the page cache, and torch has one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "big_files.json"
CHUNK = 1 << 20
REPEATS = 5
sys.path.insert(0, str(ROOT / ".src"))

from cortado.benchmarks import big_nets  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--nets", nargs="+", choices=big_nets.NET_KINDS, default=big_nets.NET_KINDS)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS), help="load comes after compile")
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--once", nargs=3, metavar=("JOB", "PROTOTXT", "CAFFEMODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        job, prototxt, caffemodel = options.once
        print(json.dumps(run_once(job, Path(prototxt), Path(caffemodel))))
        return
    report = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "nets": [measure(kind, options.megabytes, options.jobs) for kind in options.nets],
    }
    Path(options.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def measure(kind: str, megabytes: float, jobs: list[str]) -> dict[str, Any]:
    """Run these jobs on one net."""
    with tempfile.TemporaryDirectory() as folder:
        prototxt, caffemodel = big_nets.make_files(Path(folder), kind, megabytes)
        size = caffemodel.stat().st_size
        return {"net": kind, "bytes": size} | {job: run_fresh_process(job, prototxt, caffemodel, size) for job in jobs}


def run_fresh_process(job: str, prototxt: Path, caffemodel: Path, size: int) -> dict[str, Any]:
    """The measurements of a fresh process, and its anonymous memory, sampled from outside."""
    command = [sys.executable, __file__, "--once", job, str(prototxt), str(caffemodel)]
    anonymous, environment = 0, os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError, KeyError):  # the process may have ended
                anonymous = max(anonymous, process_memory(process.pid)["RssAnon"])
            time.sleep(0.001)
        assert process.stdout
        printed = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{job} of {caffemodel} failed")
    found: dict[str, Any] = json.loads(printed)
    imported, peak = found.pop("imported"), found.pop("peak")
    sizes = {
        "peak / size": peak["VmHWM"] / size,
        "more / size": (peak["VmHWM"] - imported["VmHWM"]) / size,
        "more anonymous / size": (anonymous - imported["RssAnon"]) / size,
    }
    return {"imported": imported["VmHWM"]} | {name: round(n, 3) for name, n in sizes.items()} | found


def process_memory(process: int | str = "self") -> dict[str, int]:
    """The memory of a process in bytes, by Linux's names."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


def run_once(job: str, prototxt: Path, caffemodel: Path) -> dict[str, Any]:
    work = JOBS[job](prototxt, caffemodel)  # imports what it needs
    imported = process_memory()
    found = work()
    return {"imported": imported, "peak": process_memory()} | found


def read(prototxt: Path, caffemodel: Path) -> Callable[[], dict[str, Any]]:
    """Copy every number of the caffemodel into a buffer of 1 MB, compared with reading the file's bytes."""
    import numpy as np

    from cortado.frontends.files import caffemodel as files

    buffer = np.empty(CHUNK // 4, np.float32)

    def ours() -> None:
        for layer in files.read(caffemodel).layers:
            for part in (part for blob in layer.blobs for part in blob.arrays):
                for i in range(0, len(part), len(buffer)):
                    some = part[i : i + len(buffer)]
                    buffer[: len(some)] = some

    return lambda: time_in_turns(ours, lambda: read_plain_bytes(caffemodel, buffer.view(np.uint8).data))


def compile(prototxt: Path, caffemodel: Path) -> Callable[[], dict[str, Any]]:
    """The whole of `cortado compile NET WEIGHTS -o FILE`."""
    from cortado import driver as driver
    from cortado.cli import main as command
    from cortado.cli import summary as summary

    def work() -> dict[str, Any]:
        out, start = artifact_path(caffemodel), perf_counter()
        arguments = ["compile", str(prototxt), str(caffemodel), "-o", str(out), "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            command(arguments, standalone_mode=False)
        seconds = perf_counter() - start
        return {"seconds": round(seconds, 3), "steps": json.loads(printed.getvalue())["steps"]}

    return work


def call(prototxt: Path, caffemodel: Path) -> Callable[[], dict[str, Any]]:
    """`cortado.compile(NET, WEIGHTS)` in Python, which also packs the weights, so that the net can run."""
    from cortado import driver

    def work() -> dict[str, Any]:
        start = perf_counter()
        driver.compile(prototxt, caffemodel)
        return {"seconds": round(perf_counter() - start, 3)}

    return work


def write(prototxt: Path, caffemodel: Path) -> Callable[[], dict[str, Any]]:
    """Write the compiled net to a new file, compared with writing the bytes of its weights.

    The files are new, because ext4 flushes to the disk when an existing file is replaced (auto_da_alloc).
    """
    from cortado import driver
    from cortado.runtime.artifact import write as write_artifact

    out, bare = artifact_path(caffemodel), caffemodel.with_suffix(".bare")

    def work() -> dict[str, Any]:
        made = driver.compile_net(prototxt, caffemodel).artifact

        def ours() -> None:
            out.unlink(missing_ok=True)
            write_artifact(out, made)

        def plain() -> None:
            bare.unlink(missing_ok=True)
            with bare.open("wb", buffering=0) as file:
                for tensor in made.weights.values():
                    file.write(tensor.numpy().data)

        return time_in_turns(ours, plain)

    return work


def load(prototxt: Path, caffemodel: Path) -> Callable[[], dict[str, Any]]:
    """Load the compiled net and pack its weights, compared with reading the file's bytes into memory."""
    import numpy as np

    from cortado import driver
    from cortado.runtime.artifact import read as read_artifact

    out = artifact_path(caffemodel)

    def work() -> dict[str, Any]:
        start = perf_counter()
        read_artifact(out)
        mapped = perf_counter() - start
        return {"mapped": round(mapped, 4)} | time_in_turns(
            lambda: driver.load(out), lambda: np.fromfile(out, np.uint8)
        )

    return work


JOBS = {"read": read, "compile": compile, "call": call, "write": write, "load": load}


def artifact_path(caffemodel: Path) -> Path:
    return caffemodel.with_suffix(".cortado")


def read_plain_bytes(path: Path, buffer: memoryview) -> None:
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def time_in_turns(ours: Callable[[], object], plain: Callable[[], object]) -> dict[str, Any]:
    """The best seconds of both, and their ratio."""
    seconds: dict[Callable[[], object], list[float]] = {plain: [], ours: []}
    for _ in range(REPEATS):
        for work, taken in seconds.items():
            start = perf_counter()
            work()
            taken.append(perf_counter() - start)
    best, by_bytes = min(seconds[ours]), min(seconds[plain])
    return {"seconds": round(best, 3), "plain": round(by_bytes, 3), "seconds / plain": round(best / by_bytes, 2)}


def table(report: dict[str, Any]) -> str:
    """The table in benchmarks/README.md."""
    columns = ("peak / size", "more / size", "more anonymous / size", "seconds", "plain", "seconds / plain")
    lines = [f"| net | | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for net in report["nets"]:
        for job in (job for job in JOBS if job in net):
            cells = [f"{net[job][name]:.2f}" if name in net[job] else "" for name in columns]
            lines.append(f"| {net['net']}, {net['bytes'] / big_nets.MB:.0f} MB | {job} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
