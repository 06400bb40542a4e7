"""What it costs to look for damage in a compiled file: at load, by CRC-32, and by `cortado check`, by SHA-256.

    python benchmarks/integrity.py [--nets vgg16 ...] [--out FILE]

Nets of nets/ with random weights, compiled for the CPU. Seconds are the best of some runs in one process that take
turns; the file is in the disk's cache, and torch has one thread. "Checksums" are given as a share of a load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "integrity.json"
NETS = ("squeezenet_v1.1", "mobilenet_v2", "resnet50", "vgg16")
REPEATS = 5
sys.path.insert(0, str(ROOT / ".src"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder) / f"{name}.cortado") for name in options.nets]
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    Path(options.out).write_text(json.dumps({"machine": machine, "nets": rows}, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


def measure(name: str, path: Path) -> dict[str, Any]:
    from cortado import driver
    from cortado.cli.random_numbers import with_random_weights
    from cortado.runtime.artifact import read, write
    from cortado.runtime.container import checksum, digest
    from cortado.runtime.integrity import check_file

    graph = driver.read_net(ROOT / "benchmarks" / "nets" / f"{name}.net").graph
    write(path, driver.compile_graph(with_random_weights(graph), driver.Options()).artifact)
    artifact = read(path)
    used = {w.handle for plan in artifact.plans for w in plan.weights.values()}
    tensors = [artifact.weights[handle] for handle in used]
    works: dict[str, Callable[[], object]] = {
        "load, unverified": lambda: driver.load(path, verify=False),
        "load": lambda: driver.load(path),
        "check": lambda: check_file(path),
        "crc32": lambda: [checksum(t) for t in tensors],
        "sha256": lambda: [digest(t) for t in tensors],
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(REPEATS):
        for work, call in works.items():
            start = perf_counter()
            call()
            best[work] = min(best[work], perf_counter() - start)
    used_bytes = sum(t.nbytes for t in tensors)
    path.unlink()
    return {
        "net": name,
        "used bytes": used_bytes,
        "seconds": {work: round(seconds, 4) for work, seconds in best.items()},
        "GB/s": {work: round(used_bytes / best[work] / 1e9, 2) for work in ("crc32", "sha256")},
        "checksums": round(best["crc32"] / best["load"], 3),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For benchmarks/README.md."""
    lines = ["| net | weights, MB | load, unverified | load | of it checksums | check | CRC-32, GB/s | SHA-256, GB/s |"]
    lines.append("|---" * 8 + "|")
    for row in rows:
        seconds, rate = row["seconds"], row["GB/s"]
        times = " | ".join(f"{seconds[work]:.3f}" for work in ("load, unverified", "load"))
        share = f"{100 * row['checksums']:.0f} % | {seconds['check']:.3f} | {rate['crc32']} | {rate['sha256']}"
        lines.append(f"| {row['net']} | {row['used bytes'] / 1e6:.0f} | {times} | {share} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
