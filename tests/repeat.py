"""`python -m tests.repeat --runs 20`: run all tests repeatedly, each time in another random order.

Each run appends its seed and result to a file, so that an interrupted series can be continued. Exits with 1 if a
recorded run has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "results" / "suite_runs.json"
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error|deselected)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.repeat", description="The suite in random orders.")
    parser.add_argument("--runs", type=int, default=20, help="the number of recorded runs to reach (default 20)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes of pytest")
    parser.add_argument("--record", type=Path, default=RECORD, help="the file of results, updated after each run")
    parser.add_argument("tests", nargs="*", help="test files; default: all")
    asked = parser.parse_args()
    if asked.tests and asked.record == RECORD:
        parser.error("a part of the tests needs another file of results: --record FILE")
    runs: list[dict[str, Any]] = json.loads(asked.record.read_text("utf-8"))["runs"] if asked.record.exists() else []
    while len(runs) < asked.runs:
        runs.append(run_once(len(runs) + 1, asked.jobs, asked.tests))
        write_record(asked.record, runs)
        print(runs[-1], flush=True)
    failed = [run["seed"] for run in runs if run["exit_code"]]
    print(f"{len(runs)} runs, {len(failed)} with a failure{': seeds ' + str(failed) if failed else ''}")
    return int(bool(failed))


def run_once(seed: int, jobs: int, tests: list[str]) -> dict[str, Any]:
    """Run all tests once, in the random order of this seed."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(jobs), "-p", "randomly", f"--randomly-seed={seed}"]
    command += ["--randomly-dont-reset-seed", *tests]
    start = perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    counts = {word: int(number) for number, word in COUNT.findall(lines[-1] if lines else "")}
    broken = [line.split(" ", 1)[1].split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return {
        "seed": seed,
        "commit": commit.strip(),
        "exit_code": done.returncode,
        "seconds": round(perf_counter() - start),
        **counts,
        **({"failures": broken} if broken else {}),
    }


def write_record(path: Path, runs: list[dict[str, Any]]) -> None:
    """Write the file of results atomically."""
    what = "the whole suite in random orders; python -m tests.repeat goes on with it"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"what": what, "runs": runs}, indent=1) + "\n", "utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
