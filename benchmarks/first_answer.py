"""How long a fresh process takes to its first answer, and in how much memory: by a shared library, by a compiled file.

    python benchmarks/first_answer.py [--nets squeezenet_v1.1 ...] [--rounds 9] [--out FILE]

Nets of nets/ with random weights. A library runs with numpy alone (cortado.runtime.open_library); a compiled file with
torch (cortado.runtime.load), by native kernels that are in the cache already. Processes take turns. Milliseconds are
medians, from the start of the process to the answer (`total`), and its parts as the process sees them; MB are the
largest resident memory of the process. Files are in the disk's cache. It needs an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "first_answer.json"
sys.path.insert(0, str(ROOT / ".src"))

PROGRAM = """
import json, sys, time
start = float(sys.argv[3])
marks = {"python": time.time()}
import numpy as np
marks["numpy"] = time.time()
import cortado.runtime
load = getattr(cortado.runtime, sys.argv[1])
marks["runtime"] = time.time()
net = load(sys.argv[2])
marks["load"] = time.time()
net({name: np.zeros(spec.dims, np.float32) for name, spec in net.inputs.items()})
marks["answer"] = time.time()
status = open("/proc/self/status").read()  # ru_maxrss is also that of the process before exec
megabytes = int(status.partition("VmHWM:")[2].split()[0]) / 1024
times = [start, *marks.values()]
parts = {name: 1e3 * (b - a) for name, a, b in zip(marks, times, times[1:])}
print(json.dumps({**parts, "total": 1e3 * (times[-1] - start), "MB": megabytes, "torch": "torch" in sys.modules}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["squeezenet_v1.1", "mobilenet_v2", "resnet50"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder), options.rounds) for name in options.nets]
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    Path(options.out).write_text(json.dumps({"machine": machine, "nets": rows}, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


def measure(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Compile a net in both forms, and start processes that run them in turns."""
    from cortado import driver
    from cortado.cli.random_numbers import with_random_weights
    from cortado.exporters.so import export_library
    from cortado.exporting import write_export
    from cortado.runtime.artifact import write

    graph = driver.read_net(ROOT / "benchmarks" / "nets" / f"{name}.net").graph
    made = driver.compile_graph(with_random_weights(graph), driver.Options("native"))
    write(folder / f"{name}.cortado", made.artifact)
    write_export(export_library(made, folder / f"{name}.so"), ())
    ways = {"open_library": folder / f"{name}.so", "load": folder / f"{name}.cortado"}
    for way, path in ways.items():
        start(way, path)  # fills the caches
    found = {way: list[dict[str, float]]() for way in ways}
    for _ in range(rounds):
        for way, path in ways.items():
            found[way].append(start(way, path))
    medians = {
        w: {key: round(statistics.median(run[key] for run in runs), 1) for key in runs[0]} for w, runs in found.items()
    }
    return {"net": name, "library_bytes": ways["open_library"].stat().st_size, **medians}


def start(way: str, path: Path) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".src")}
    words = [sys.executable, "-c", PROGRAM, way, str(path), repr(time())]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    made: dict[str, Any] = json.loads(done.stdout)
    assert made.pop("torch") is (way == "load")
    return made


def table(rows: list[dict[str, Any]]) -> str:
    columns = ("python", "numpy", "runtime", "load", "answer", "total", "MB")
    lines = [f"| net | opened by | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 2)}"]
    for row in rows:
        for way in ("open_library", "load"):
            lines.append(f"| {row['net']} | {way} | {' | '.join(str(row[way][c]) for c in columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
