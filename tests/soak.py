"""`python -m tests.soak --record FILE`: nets called for hours by eight threads, loaded and dropped, and forked.

All answers have to be equal, bit by bit, and resident memory flat to 1 %, or to the memory of two more calls at once.
`--share 100` does one in a hundred of the calls, as the suite does. Ends with 1 if anything fails. Set
MALLOC_ARENA_MAX=1: glibc's heap of each thread grows for the first thousands of calls, and hides what leaks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import numpy as np
import torch

from cortado import driver
from cortado.benchmarks.on_gpu import nets
from cortado.compiler.text import parse
from cortado.runtime import Net, load
from cortado.runtime.artifact import write

ROOT = Path(__file__).resolve().parents[1]
THREADS = 8
CALLS = {"squeezenet_v1.1": 100_000, "mobilenet_ssd": 20_000}
LOADS = 1_000
GROWTH = 0.01  # of resident memory, from after the first fifth to the end
MAX_SECONDS = 120  # for a forked child to answer

Answer = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Report:
    """What one of the tests did: how often, for how long, and whether answers and memory held.

    `pool_bytes` is the memory of the instances that a net makes when more threads than before are in a call at once.
    """

    test: str
    times: int
    seconds: float
    different: int
    before_bytes: int
    after_bytes: int
    pool_bytes: int = 0

    @property
    def growth(self) -> float:
        return self.after_bytes / self.before_bytes - 1 if self.before_bytes else 0.0

    @property
    def is_good(self) -> bool:
        return not self.different and self.after_bytes - self.before_bytes <= max(
            GROWTH * self.before_bytes, self.pool_bytes
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Many calls, loads and forks of nets.")
    parser.add_argument("--share", type=int, default=1, metavar="N", help="one in N of the calls")
    parser.add_argument("--record", type=Path, help="write there what was done")
    asked = parser.parse_args()
    reports = list[Report]()
    with tempfile.TemporaryDirectory() as folder:
        for name, calls in CALLS.items():
            path = Path(folder) / f"{name}.cortado"
            graph = nets.with_random_weights(parse(nets.texts()[name], f"{name}.net"))
            write(path, driver.compile_graph(graph, driver.Options()).artifact)
            reports.append(tell(call_by_threads(name, path, max(calls // asked.share, 25 * THREADS))))
        path = Path(folder) / "squeezenet_v1.1.cortado"
        reports.append(tell(load_and_drop(path, max(LOADS // asked.share, 50))))
        reports.append(tell(fork_after_load(path, max(100 // asked.share, 2))))
    if asked.record:
        rows = [asdict(report) | {"growth": round(report.growth, 5)} for report in reports]
        machine = {"cores": os.cpu_count(), "torch": torch.__version__, "torch_threads": torch.get_num_threads()}
        document = {"commit": commit(), "share": asked.share, "threads": THREADS, **machine, "tests": rows}
        asked.record.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return int(not all(report.is_good for report in reports))


def tell(report: Report) -> Report:
    print(
        f"{report.test}: {report.times} times in {report.seconds:.0f} s, {report.different} different, "
        f"memory {report.before_bytes / 2**20:.1f} -> {report.after_bytes / 2**20:.1f} MiB ({report.growth:+.2%})"
        f"{'' if report.is_good else '  FAILED'}",
        flush=True,
    )
    return report


def call_by_threads(name: str, path: Path, calls: int) -> Report:
    """Eight threads call one net; each answer is compared with the first."""
    net = load(path)
    given = draw_inputs(net)
    wanted = net(given)
    sizes, wrong, lock, left = list[int](), [0], threading.Lock(), [calls]

    def work() -> None:
        while True:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
            if not is_equal(net(given), wanted):
                wrong[0] += 1
            with lock:
                sizes.append(resident_bytes())

    start = monotonic()
    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    before, after = before_and_after(sizes)
    seconds, pool = round(monotonic() - start, 1), 2 * net.arena_bytes
    return Report(f"{THREADS} threads call {name}", calls, seconds, wrong[0], before, after, pool)


def load_and_drop(path: Path, loads: int) -> Report:
    """A net is loaded, called once, and dropped."""
    wanted, given = None, None
    sizes, wrong, start = list[int](), 0, monotonic()
    for _ in range(loads):
        net = load(path)
        given = given or draw_inputs(net)
        answer = net(given)
        wanted = wanted or answer
        wrong += not is_equal(answer, wanted)
        del net
        gc.collect()
        sizes.append(resident_bytes())
    before, after = before_and_after(sizes)
    return Report(f"load {path.stem}, call it, drop it", loads, round(monotonic() - start, 1), wrong, before, after)


def fork_after_load(path: Path, forks: int) -> Report:
    """A process whose threads call a net all the time is forked: the child gives the same answer."""
    net = load(path)
    given = draw_inputs(net)
    wanted = net(given)
    stop, wrong, start = threading.Event(), 0, monotonic()

    def work() -> None:
        while not stop.is_set():
            net(given)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in range(forks):
        child = os.fork()
        if child == 0:
            signal.alarm(MAX_SECONDS)
            os._exit(0 if is_equal(net(given), wanted) else 1)
        wrong += os.waitpid(child, 0)[1] != 0
    stop.set()
    for worker in workers:
        worker.join()
    return Report(f"fork while threads call {path.stem}", forks, round(monotonic() - start, 1), wrong, 0, 0)


def draw_inputs(net: Net) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {name: rng.random(net.plan.slots[name].bounds, np.float32) for name in net.plan.inputs}


def is_equal(a: Answer, b: Answer) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def before_and_after(sizes: list[int]) -> tuple[int, int]:
    """Resident memory after the first fifth, in which all is made that stays, and in the last: medians."""
    fifth = max(len(sizes) // 5, 1)
    return round(median(sizes[fifth : 2 * fifth] or sizes)), round(median(sizes[-fifth:]))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
