"""Compares the time of whole `cortado compile` processes with that of another checkout.

    git worktree add ../before COMMIT
    python benchmarks/compile_ratio.py --against ../before [--runs 9] [--out FILE] [--prototxt FILE --caffemodel FILE]

Each run is a fresh process: Python starts, imports, reads, compiles and writes. The checkouts take turns, and swap who
is first, so that what else the machine does meets both alike; the first turn fills the disk's cache and is not counted.
Seconds of the processor stand beside those on the wall. A ratio above 1 means that this checkout is slower. The nets
are files that every version reads: examples/digits, and a net of convolutions with BatchNorm and Scale (big_nets.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "compile_ratio.json"
DIGITS = ROOT / "examples" / "digits"
MEGABYTES = 20
CLOCKS = ("wall", "processor")
STATISTICS: dict[str, Callable[[list[float]], float]] = {"median": median, "least": min, "largest": max}
sys.path.insert(0, str(ROOT / ".src"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, metavar="PATH", help="the other checkout")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--prototxt", help="a published net, in place of ours")
    parser.add_argument("--caffemodel")
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args()
    other = Path(options.against).resolve()
    if not (other / ".src" / "cortado").exists():
        raise SystemExit(f"{options.against} is no checkout of cortado: it has no .src/cortado")
    if (options.prototxt is None) != (options.caffemodel is None):
        raise SystemExit("--prototxt and --caffemodel go together")
    with tempfile.TemporaryDirectory() as folder:
        given = {Path(options.prototxt).stem: (options.prototxt, options.caffemodel)} if options.prototxt else None
        nets = given or make_nets(Path(folder))
        rows = [compare(name, files, other, options.runs, Path(folder)) for name, files in nets.items()]
    report = {
        "commits": {"this": commit(ROOT), "other": commit(other)},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "runs": options.runs,
        "nets": rows,
    }
    Path(options.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def make_nets(folder: Path) -> dict[str, tuple[str, str]]:
    """Prototxt and caffemodel of each net, by name."""
    from cortado.benchmarks.big_nets import make_files

    prototxt, caffemodel = make_files(folder, "folding", MEGABYTES)
    digits = (str(DIGITS / "digits.prototxt"), str(DIGITS / "digits.caffemodel"))
    return {"digits": digits, f"folding, {MEGABYTES} MB": (str(prototxt), str(caffemodel))}


def compare(name: str, files: tuple[str, str], other: Path, runs: int, folder: Path) -> dict[str, Any]:
    """Medians of both checkouts in seconds, and the ratio of each turn's two numbers."""
    turns = []
    for turn in range(runs + 1):
        order = (ROOT, other) if turn % 2 else (other, ROOT)
        found = {checkout: compile_once(checkout, files, folder) for checkout in order}
        turns.append((found[ROOT], found[other]))
        if sys.stderr.isatty():
            print(f"\r\033[K{name}: {turn} of {runs}", end="" if turn < runs else "\n", file=sys.stderr, flush=True)
    row: dict[str, Any] = {"net": name}
    for clock in CLOCKS:
        pairs = [(ours[clock], theirs[clock]) for ours, theirs in turns[1:]]
        ratios = [a / b for a, b in pairs]
        row[clock] = {
            "this": round(median(a for a, _ in pairs), 3),
            "other": round(median(b for _, b in pairs), 3),
            "ratio": {
                "median": round(median(ratios), 3),
                "least": round(min(ratios), 3),
                "largest": round(max(ratios), 3),
            },
        }
    return row


def compile_once(checkout: Path, files: tuple[str, str], folder: Path) -> dict[str, float]:
    """Seconds of one process. SystemExit, with what it printed, if it fails."""
    environment = os.environ | {"PYTHONPATH": str(checkout / ".src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cortado", "compile", *files, "-o", str(folder / "out.cortado")]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{checkout} does not compile {files[0]}:\n{done.stderr or done.stdout}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "processor": processor}


def commit(checkout: Path) -> str:
    """The commit of a checkout, with a `+` if files differ from it; "" where there is no git."""
    git = ["git", "-C", str(checkout)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    return head.stdout.strip() + "+" * bool(changed.stdout.strip()) if head.returncode == 0 else ""


def table(report: dict[str, Any]) -> str:
    lines = [f"this: {report['commits']['this']}   other: {report['commits']['other']}   runs: {report['runs']}"]
    for row in report["nets"]:
        for clock in CLOCKS:
            found = row[clock]
            ratio = found["ratio"]
            lines.append(
                f"{row['net']:20} {clock:10} {found['this']:8.3f} s {found['other']:8.3f} s   "
                f"{ratio['median']:.3f} ({ratio['least']:.3f} to {ratio['largest']:.3f})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
