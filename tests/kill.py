"""`python -m tests.kill --kills 500`: cortado killed at random moments while it writes, and what it leaves behind.

A trial starts a job in a process of its own, sends SIGKILL at a random moment of the time that the job takes, and
looks at the folder: each output has to be what was there before, or the new one whole. Whatever else is there has to be
a part of a file that the next run removes. Then the job runs again, to its end: it has to succeed, give the same bytes
as ever, and leave nothing else. Ends with 1 if any of that fails in any trial.

Trials go on until so many processes were killed before they ended. Jobs run in copies of this process, which has
imported all that they need, so run it with OMP_NUM_THREADS=1: threads are not copied. Every twentieth trial is a
process that starts from nothing. With --record FILE it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "results" / "kills.json"
NET = """weights "weights.safetensors"

net n(x: f32[1,2000]) {
    weight w: f32[400,2000] = @HANDLE
    y = linear(x, w)
    return x, y
}
"""
UGLY = "net n(x: f32[1,4]) { y = relu(x)\n" + "".join(f"  y{i}=relu( x )\n" for i in range(300)) + "return y }\n"
Content = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """Something that writes into `out`. `fresh`: in a Python of its own, not in a copy of this process."""

    work: Callable[[Path], None]
    fresh: bool = False


def command(*words: str) -> Callable[[Path], None]:
    """`cortado WORDS`, in the folder."""

    def work(folder: Path) -> None:
        from cortado.cli import main

        os.chdir(folder)
        main(list(words), standalone_mode=False)

    return work


def fill_cache(folder: Path) -> None:
    """Machine code of a few kernels into the cache; the compiler's worker is a stand-in that is done at once."""
    from cortado.compiler.targets.cuda import aot

    def run_worker(jobs: list[aot.Job], *_: object) -> dict[aot.Job, aot.MachineCode]:
        return {job: machine_code(job) for job in jobs}

    def machine_code(job: aot.Job) -> aot.MachineCode:
        code = random.Random(str(job)).randbytes(200_000)
        return aot.MachineCode(code, shared=0, warps=4, stages=2, registers=32, spilled=0, wgmma=0, cuda=0)

    os.environ["CORTADO_CACHE"] = str(folder / "out")
    aot.run_worker = run_worker  # type: ignore[assignment]
    jobs = [(f"kernel_{i}", "sm_90") for i in range(8)]
    made = aot.compile_machine_code({name: f'"""{name}\n"""\n\nimport triton' for name, _ in jobs}, jobs, workers=2)
    assert made == {job: machine_code(job) for job in jobs}


@dataclass
class Known:
    """What a job leaves in `out`, and the seconds that it took the last time: machines are not always equally busy."""

    content: Content
    seconds: float


JOBS = {
    "compile": Job(command("compile", "net.net", "-o", "out/net.cortado")),
    "compile, a new process": Job(command("compile", "net.net", "-o", "out/net.cortado"), fresh=True),
    "run": Job(command("run", "net.cortado", "--input", "x.npy", "--output-file", "out/y.npz")),
    "opt": Job(command("opt", "net.net", "-o", "out/again.net")),
    "show": Job(command("show", "net.net", "--after-all", "out")),
    "fmt": Job(command("fmt", "out/ugly.net")),
    "cache": Job(fill_cache),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description="cortado killed while it writes.")
    parser.add_argument("--kills", type=int, default=500, help="go on until so many were killed (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--record", type=Path, help=f"write what happened, as {RECORD.relative_to(ROOT)}")
    parser.add_argument("--once", nargs=2, metavar=("JOB", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        JOBS[asked.once[0]].work(Path(asked.once[1]))
        return 0
    record = json.loads(asked.record.read_text("utf-8")) if asked.record and asked.record.exists() else {}
    if record.get("seed", asked.seed) != asked.seed:
        parser.error(f"{asked.record} is of seed {record['seed']}; remove it, or go on with that")
    record = {"seed": asked.seed, "trials": 0, "killed": 0, "jobs": {}, "failures": []} | record
    fresh, copied = ([name for name in asked.jobs if JOBS[name].fresh is f] for f in (True, False))
    with tempfile.TemporaryDirectory() as folder:
        inputs, known = Path(folder) / "inputs", dict[str, Known]()
        make_inputs(inputs)
        while record["killed"] < asked.kills:
            trial = record["trials"]
            name = pick(fresh or copied if trial % 20 == 19 else copied or fresh, trial)
            if name not in known:
                known[name] = measure(JOBS[name], inputs, Path(folder))
            work, dice = Path(folder) / "work", random.Random(f"{asked.seed} {trial}")
            counts = Counter(record["jobs"].get(name, {}))
            failed = run_trial(JOBS[name], inputs, work, known[name], dice, counts)
            shutil.rmtree(work)
            record["jobs"][name], record["trials"] = counts, trial + 1
            record["killed"] = sum(job["killed before the end"] for job in record["jobs"].values())
            record["failures"] += [f"trial {trial}, {name}: {sentence}" for sentence in failed]
            if asked.record and (trial % 10 == 9 or record["killed"] == asked.kills):
                asked.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    return int(bool(record["failures"]))


def pick(names: list[str], k: int) -> str:
    """One after another."""
    return names[k % len(names)]


def make_inputs(folder: Path) -> None:
    """What the jobs read, and `out` with what the one that writes in place finds there."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from cortado.cli import main
    from cortado.compiler.ir import handle
    from cortado.compiler.types import type_of

    (folder / "out").mkdir(parents=True)
    weight = torch.arange(400 * 2000, dtype=torch.float32).reshape(400, 2000) % 1009
    key = handle(type_of(weight), weight)
    save_file({key: weight}, folder / "weights.safetensors")
    (folder / "net.net").write_text(NET.replace("HANDLE", key))
    (folder / "out" / "ugly.net").write_text(UGLY)
    np.save(folder / "x.npy", np.ones((1, 2000), np.float32))
    with contextlib.chdir(folder), contextlib.redirect_stdout(None):
        main(["compile", "net.net", "-o", "net.cortado"], standalone_mode=False)


def measure(job: Job, inputs: Path, folder: Path) -> Known:
    """What the job leaves in `out` when nobody disturbs it, and the seconds that it takes."""
    work = folder / "measured"
    shutil.copytree(inputs, work)
    start = time.perf_counter()
    assert wait(begin(job, work)) == 0, "the job fails without being killed"
    found = Known(content(work / "out"), time.perf_counter() - start)
    shutil.rmtree(work)
    return found


def run_trial(job: Job, inputs: Path, work: Path, known: Known, dice: random.Random, counts: Counter[str]) -> list[str]:
    """What is wrong after a kill, and after the run that follows it; the seconds of that are the next guess."""
    new = known.content
    shutil.copytree(inputs, work)
    if dice.random() < 0.5:  # there is something to be lost
        for name in new.keys() - content(work / "out").keys():
            (work / "out" / name).write_bytes(b"what was there before" * 1000)
    old, child = content(work / "out"), begin(job, work)
    time.sleep(dice.uniform(0, known.seconds))
    os.kill(child, signal.SIGKILL)
    killed = wait(child) == -signal.SIGKILL
    found = content(work / "out")
    parts = {name for name in found if name.startswith(".") and name.endswith(".cortado-part")}
    counts["trials"] += 1
    counts["killed before the end"] += killed
    counts["left a part of a file"] += bool(parts)
    if killed:
        due = [name for name, data in new.items() if old.get(name) != data]
        written = sum(found.get(name) == new[name] for name in due)
        counts[("all" if written == len(due) else "some" if written else "no") + " outputs written"] += 1
    whole = {name: data for name, data in found.items() if name not in parts}
    wrong = [f"{n} is neither old nor new" for n, data in whole.items() if data not in (old.get(n), new.get(n))]
    wrong += [f"{n} is lost" for n in old if n not in found]
    wrong += [f"{len(parts)} parts are left"] * (len(parts) > 1)
    if not killed and found != {**old, **new}:
        wrong.append("it ended, and the outputs are not there")
    start = time.perf_counter()
    if wait(begin(job, work)):
        wrong.append("the next run fails")
    known.seconds = time.perf_counter() - start
    if content(work / "out") != {**old, **new}:
        wrong.append("the next run leaves something else")
    return wrong


def content(folder: Path) -> Content:
    """Hashes of all files, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}


def begin(job: Job, folder: Path) -> int:
    """Start the job; its process, which prints nothing and ends with 0 if all went well."""
    if job.fresh:
        name = next(name for name, other in JOBS.items() if other is job)
        words = [sys.executable, "-m", "tests.kill", "--once", name, str(folder)]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid
    if child := os.fork():
        return child
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        job.work(folder)
        code = 0
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """How a process ended: its exit code, or minus a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    if "cortado" not in sys.modules:
        sys.path.insert(0, str(ROOT / ".src"))
    import torch

    torch.set_num_threads(1)  # a forked process has none of its parent's threads, and would wait for them
    sys.exit(main())
