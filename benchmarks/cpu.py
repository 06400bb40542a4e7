"""Nets on a CPU in f32: the targets `native`, `native-strict` and `onednn` beside OpenVINO, in turns.

    pip install openvino && python benchmarks/cpu.py        writes results/cpu.json; some minutes on an idle machine
    python benchmarks/cpu.py --batch 16                        writes results/cpu_batch16.json

All engines have the same random weights and as many threads as the machine has cores. The ratio is OpenVINO's time over
the engine's: above 1 it is faster.
"""

from __future__ import annotations

import argparse
from functools import partial
from math import prod
from pathlib import Path

from cortado.benchmarks.engines import ROOT, Engine, Row, measure_net, write_result

RESULTS = ROOT / "benchmarks" / "results"
NETS = (
    "squeezenet_v1.1", "mobilenet_v1", "mobilenet_v2", "googlenet", "resnet50", "vgg16", "open_nsfw", "inception_v3",
    "densenet121", "alexnet",
)  # fmt: skip
ENGINES = {"native": Engine("native"), "native-strict": Engine("native-strict"), "onednn": Engine("onednn")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Nets on a CPU, ours and OpenVINO in turns.")
    parser.add_argument("--turns", type=int, default=8, help="of each engine (default 8)")
    parser.add_argument("--calls", type=int, default=20, help="in a turn (default 20)")
    parser.add_argument("--nets", nargs="*", default=NETS, metavar="NET", help="of benchmarks/nets")
    parser.add_argument("--batch", type=int, default=1, help="pictures in a call (default 1)")
    parser.add_argument("--output", type=Path, help="the file of results")
    asked = parser.parse_args()
    file = "cpu.json" if asked.batch == 1 else f"cpu_batch{asked.batch}.json"
    measure = partial(measure_net, engines=ENGINES, turns=asked.turns, calls=asked.calls, batch=asked.batch)
    rows = [row for net in asked.nets for row in measure(net)]
    write_result(asked.output or RESULTS / file, [*rows, mean_row(rows)], asked.turns, asked.calls)


def mean_row(rows: list[Row]) -> Row:
    """The geometric means."""
    names = rows[0]["ratio"]
    means = {
        key: {name: round(prod(row[key][name] for row in rows) ** (1 / len(rows)), 3) for name in names}
        for key in ("ratio", "ms")
    }
    return {"net": "geometric mean", "busy": 0, **means}


if __name__ == "__main__":
    main()
