"""`python -m tests.fuzz --minutes 1`: fuzz the six readers, each for so long. Ends with 1 on a finding.

`--inputs 50000` runs so many inputs a reader instead, however long that takes: the same ones each time.

Inputs that reached new code stay in FOLDER/corpus, so that a later run goes on from there; findings are in
FOLDER/findings: move one to tests/fuzz/findings/READER with a name that says what it is, together with its mend.
Seeds of random numbers and of hashes are fixed: equal code and an equal corpus give the same inputs in the same order.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import Any

from .start import READERS
from .worker import HAS_ATHERIS

ROOT = Path(__file__).resolve().parents[2]
MAX_SECONDS = 3600  # of a reader that is given a number of inputs
MAX_RESTARTS = 20  # of a reader whose process ended early: on a crash in native code, say
COVERAGE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
COUNTED = re.compile(r"^#(\d+)\s", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the readers of files.")
    parser.add_argument("readers", nargs="*", help=f"some of {', '.join(READERS)} (default: all)")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--minutes", type=float, default=1, help="for each reader (default 1)")
    limit.add_argument("--inputs", type=int, default=0, help="inputs for each reader, in place of minutes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="readers at a time (default: the cores)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="where inputs and findings are kept")
    parser.add_argument("--record", type=Path, help="a file of earlier runs, to which these are added")
    asked = parser.parse_args()
    if unknown := set(asked.readers) - set(READERS):
        parser.error(f"there is no reader {min(unknown)}; there are {', '.join(READERS)}")
    if not HAS_ATHERIS:
        print("atheris is not installed: mutations are drawn by chance, without coverage", flush=True)
    asked.folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        seconds = MAX_SECONDS if asked.inputs else round(asked.minutes * 60)
        one = partial(fuzz, folder=asked.folder, seconds=seconds, inputs=asked.inputs)
        results = list(pool.map(one, asked.readers or READERS))
    if asked.record:
        runs = json.loads(asked.record.read_text("utf-8"))["runs"] if asked.record.exists() else []
        asked.record.write_text(json.dumps({"runs": runs + results}, indent=1) + "\n", "utf-8")
    return int(any(result["findings"] for result in results))


def fuzz(reader: str, folder: Path, seconds: int, inputs: int = 0) -> dict[str, Any]:
    """One reader for so long, or for so many inputs; what it did.

    A process that ends early is a finding, and another goes on.
    """
    before = set(list_findings(folder, reader))
    start, executed, restarts, edges, features, kept = monotonic(), 0, 0, 0, 0, 0
    while (left := seconds - round(monotonic() - start)) > 0 and restarts <= MAX_RESTARTS:
        code, log = run_worker(reader, folder, left, max(inputs - executed, 0), restarts)
        counts = EXECUTED.findall(log) or COUNTED.findall(log)
        executed += int(counts[-1]) if counts else 0
        for found in COVERAGE.finditer(log):
            edges, features, kept = (
                max(a, int(b)) for a, b in zip((edges, features, kept), found.groups(), strict=True)
            )
        if code == 0:
            break
        restarts += 1
    new = [describe(folder, reader, name) for name in list_findings(folder, reader) if name not in before]
    if restarts and not new:
        new = [f"the process ended early, {restarts} times: see {folder}/{reader}.*.log"]
    print(f"{reader}: {executed} inputs, {edges} edges, {len(new)} findings", *new, sep="\n    ", flush=True)
    return {
        "reader": reader,
        "engine": f"atheris {version()}" if HAS_ATHERIS else "chance",
        "commit": commit(),
        "minutes": round((monotonic() - start) / 60, 2),
        "executions": executed,
        "edges": edges,
        "features": features,
        "corpus": kept,
        "restarts": restarts,
        "findings": new,
    }


def run_worker(reader: str, folder: Path, seconds: int, inputs: int, number: int) -> tuple[int, str]:
    """One process, until the time or the inputs are over or it falls; its exit status and its log."""
    log = folder / f"{reader}.{number}.log"
    words = [*fixed_addresses(), sys.executable, "-m", "tests.fuzz.worker"]
    words += [reader, str(folder), str(seconds), str(inputs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", "PYTHONHASHSEED": "0"}
    with log.open("w") as file:
        code = subprocess.run(words, cwd=ROOT, env=environment, stdout=file, stderr=file).returncode
    return code, log.read_text("utf-8", "replace")


@cache
def fixed_addresses() -> tuple[str, ...]:
    """Words before a command so that objects lie, and hash, alike in each run; none where the system forbids it."""
    words = ("setarch", "--addr-no-randomize")
    if shutil.which(words[0]) is None:
        return ()
    return words if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode == 0 else ()


def list_findings(folder: Path, reader: str) -> list[str]:
    place = folder / "findings" / reader
    return sorted(p.name for p in place.iterdir() if p.suffix != ".txt") if place.is_dir() else []


def describe(folder: Path, reader: str, name: str) -> str:
    note = folder / "findings" / reader / f"{name}.txt"
    return f"{name}: {' | '.join(note.read_text('utf-8').splitlines())[:200]}" if note.exists() else name


def version() -> str:
    from importlib.metadata import version

    return version("atheris")


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
