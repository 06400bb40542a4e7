"""`python -m tests.proof.mutate`: apply each mutant to a copy of the package, and check that a test fails.

The fastest relevant tests run first: the cases of the mutated pass, or of the invariants; then random nets. Mutants
that survive all tests are printed, and the command exits with 1. If a test fails on the unchanged package, it exits
with 2. A run over all mutants is recorded in benchmarks/results/mutants.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from .mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED_FOLDERS = ("compiler", "passes", "runtime", "frontends", "tests")
NETS = 80  # random nets per mutant
RECORD = ROOT / "benchmarks" / "results" / "mutants.json"
TIMEOUT = 600.0  # seconds, after which a mutant counts as detected


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.mutate", description="Do the tests see mistakes?")
    parser.add_argument("numbers", nargs="*", type=int, help="mutants by their place in the list (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    numbers = asked.numbers or range(len(MUTANTS))
    if (broken := find_failing_suite(None)) != "":
        print(f"mutants cannot be tested: {broken} fail on the unchanged package")
        return 2
    start, killers = perf_counter(), dict[int, str]()
    with ThreadPoolExecutor(asked.jobs) as pool:
        for number, killer in zip(numbers, pool.map(lambda i: find_failing_suite(MUTANTS[i]), numbers), strict=True):
            print(f"{number}: {killer or 'ALIVE'}: {MUTANTS[number]}", flush=True)
            killers[number] = killer
    alive, seconds = [str(MUTANTS[n]) for n, killer in killers.items() if not killer], perf_counter() - start
    print(f"{len(numbers)} mutants, {len(alive)} alive, {seconds:.0f} s")
    if not asked.numbers:
        write_record(killers, alive, seconds)
    return int(bool(alive))


def write_record(killers: dict[int, str], alive: list[str], seconds: float) -> None:
    """How many mutants each suite killed, and which ones none did."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    found = {
        "commit": commit.stdout.strip(),
        "mutants": len(killers),
        "killed": dict(Counter(killer for killer in killers.values() if killer)),
        "alive": alive,
        "seconds": round(seconds),
    }
    RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def find_failing_suite(mutant: Mutant | None) -> str:
    """The tests that fail on the mutant, in words, or "". None tests the unchanged package."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "cortado"
        copy_package(home)
        if mutant:
            path = home / mutant.file
            text = path.read_text("utf-8")
            assert text.count(mutant.before) == 1, f"{mutant} does not apply"
            path.write_text(text.replace(mutant.before, mutant.after), "utf-8")
        return next((name for name, command in suites(mutant) if has_failure(command, home)), "")


def copy_package(home: Path) -> None:
    skipped = shutil.ignore_patterns("__pycache__", "goldens", ".*_cache")
    for name in COPIED_FOLDERS:
        shutil.copytree(ROOT / name, home / name, ignore=skipped)
    for path in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(path, home)
    (home / ".src").mkdir()
    (home / ".src" / "cortado").symlink_to("..")


def suites(mutant: Mutant | None) -> Iterator[tuple[str, list[str]]]:
    """Names and commands, the fastest first."""
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    file = Path(mutant.file) if mutant else Path()
    if file.parts[:1] == ("passes",):
        yield "its cases", [*pytest, "tests/test_passes.py", "-k", f"test_case and {file.stem}-"]
    elif "codegen" not in file.parts:
        tests = ("tests/test_verify.py", "tests/test_graph.py", "tests/test_passes.py")
        yield "the tests of the core", [*pytest, *tests]
    yield "nets that failed once", [*pytest, "tests/test_proof.py", "-k", "failed_once"]
    yield "random nets", [sys.executable, "-m", "tests.proof", f"0:{NETS}", "--first"]


def has_failure(command: list[str], home: Path) -> bool:
    environment = os.environ | {
        "PYTHONPATH": str(home / ".src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        return subprocess.run(command, cwd=home, env=environment, capture_output=True, timeout=TIMEOUT).returncode != 0
    except subprocess.TimeoutExpired:
        return True


if __name__ == "__main__":
    sys.exit(main())
