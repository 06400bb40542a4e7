"""`python -m tests.proof 4711`, `python -m tests.proof 0:2000 --jobs 4`: check nets by number, and shrink failures.

Run it in the checkout, with `PYTHONPATH=.src` if cortado is not installed. Exits with 1 if a net failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from .check import GPU_RUNS, check
from .generator import EDITION, net, text
from .reducer import reduce_failure
from .saved_cases import CASES, replay_case, save_case

NetResult = tuple[int, list[Any], list[str]]  # the net's number, its failures, the names of its operators
SAVE_INTERVAL = 500  # number of nets after which the file is updated
ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description="Random nets through every pass.")
    parser.add_argument("numbers", help="a net's number, or a range first:stop", nargs="?", default="0:300")
    parser.add_argument("--case", metavar="NAME", help="a saved case instead of numbers")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--show", action="store_true", help="only print the net")
    parser.add_argument(
        "--save", action="store_true", help="shrink one failure of each category, and save it in tests/proof/cases"
    )
    parser.add_argument("--first", action="store_true", help="stop at the first failure")
    parser.add_argument("--gpu", action="store_true", help="also run the artifacts on this machine's GPU (slow)")
    parser.add_argument("--native", action="store_true", help="also run every net by kernels in C (slow)")
    parser.add_argument("--record", type=Path, help="a file of what was done: go on where it stops, and add to it")
    asked = parser.parse_args()
    if asked.case:
        failure = replay_case(CASES / f"{asked.case}.net")
        print(failure or f"{asked.case}: nothing fails")
        return int(failure is not None)
    first, _, stop = asked.numbers.partition(":")
    numbers = range(int(first), int(stop) if stop else int(first) + 1)
    if asked.show:
        print("\n".join(map(text, numbers)))
        return 0
    runs = GPU_RUNS * asked.gpu + ("native",) * asked.native
    record = Record(asked.record, numbers) if asked.record else None
    if record:
        record.failed = [number for number in record.failed if check_net(number, runs)[1]]  # one may be mended by now
        numbers = record.rest
    start, failed, sorts = perf_counter(), list[int](), Counter[str]()
    for number, found, names in show_progress(check_nets(numbers, asked.jobs, runs), len(numbers)):
        for failure in found:
            print(f"net {number}: {failure}", flush=True)
            if asked.save and not sorts[str(failure.category)]:
                save_failure(number, failure)
            sorts[str(failure.category)] += 1
        failed += [number] if found else []
        if record:
            record.add(number, bool(found), names)
        if failed and asked.first:
            break
    print(f"{len(numbers)} nets, {len(failed)} with a failure, {perf_counter() - start:.0f} s")
    return int(bool(failed))


def show_progress(answers: Iterable[NetResult], count: int) -> Iterator[NetResult]:
    """The same results, with progress on a terminal."""
    console = Console(stderr=True)
    yield from track(answers, "nets", count, console=console, transient=True, disable=not console.is_terminal)


def check_nets(numbers: range, jobs: int, runs: tuple[str, ...]) -> Iterator[NetResult]:
    if jobs < 2:
        yield from map(partial(check_net, runs=runs), numbers)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(check_net, runs=runs), numbers, chunksize=8)


def check_net(number: int, runs: tuple[str, ...]) -> NetResult:
    torch.set_num_threads(1)
    return number, check(number, runs), [n.op.name for n in net(number).graph.nodes]


def save_failure(number: int, failure: Any) -> None:
    planned, trial = reduce_failure(net(number), failure)
    print(f"    saved as {save_case(planned, trial, failure, f'net {number}')}", flush=True)


class Record:
    """A file of what was done for a range of nets, which goes on where an earlier run stopped.

    It names for each commit how many nets its code was tried on. Nets that failed are tried again when it goes on.
    It is written every SAVE_INTERVAL nets and at the end of the range. SystemExit if the file is of another range
    or edition of the generator.
    """

    def __init__(self, path: Path, numbers: range) -> None:
        self.path, self.numbers, self.stop = path, numbers, numbers.start
        self.failed, self.operators, self.seconds = list[int](), Counter[str](), 0.0
        self.commits, self.commit = Counter[str](), current_commit()
        self.clock = perf_counter()
        if not path.exists():
            return
        found = json.loads(path.read_text("utf-8"))
        if found["edition"] != EDITION or found["numbers"][0] != numbers.start or "commits" not in found:
            raise SystemExit(f"{path} is of other nets: give another file, or remove it")
        self.stop, self.failed, self.seconds = found["numbers"][1], found["failed"], found["seconds"]
        self.operators.update(found["operators"])
        self.commits.update(found["commits"])

    @property
    def rest(self) -> range:
        """The numbers that are left."""
        return range(self.stop, max(self.numbers.stop, self.stop))

    def add(self, number: int, fails: bool, operators: list[str]) -> None:
        self.stop = number + 1
        self.failed += [number] * fails
        self.operators.update(operators)
        self.commits[self.commit] += 1
        if self.stop == self.numbers.stop or (self.stop - self.numbers.start) % SAVE_INTERVAL == 0:
            self.write()

    def write(self) -> None:
        now = perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        document = {
            "what": "random nets through every pass, order and target: python -m tests.proof FIRST:STOP --record FILE",
            "edition": EDITION,
            "numbers": [self.numbers.start, self.stop],
            "nets": self.stop - self.numbers.start,
            "failed": self.failed,
            "seconds": round(self.seconds),
            "torch": torch.__version__,
            "commits": dict(self.commits),
            "nodes": sum(self.operators.values()),
            "operators": dict(sorted(self.operators.items())),
        }
        self.path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def current_commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
