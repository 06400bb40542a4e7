"""Times nets on a busy machine: cortado and OpenVINO, alone, and with one and two busy loops.

    pip install openvino && python benchmarks/busy.py        writes results/busy.json; some minutes on an idle machine

SqueezeNet v1.1 and MobileNet v1, batch 1 in f32, the same random weights. Settings of torch's threads are engines too:
one thread, and what libgomp reads from the environment before torch is imported (OMP_WAIT_POLICY and
GOMP_SPINCOUNT, 300,000 by default). KMP_BLOCKTIME is read by Intel's library, which torch's
wheels for Linux do not have; it is measured all the same. The ratio is OpenVINO's time over the engine's: above 1 it is
faster.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cortado.benchmarks.engines import ROOT, Engine, measure_net, write_result

RESULT = ROOT / "benchmarks" / "results" / "busy.json"
NETS = ("squeezenet_v1.1", "mobilenet_v1")
ENGINES = {
    "native": Engine("native"),
    "onednn": Engine("onednn"),
    "OMP_WAIT_POLICY=passive": Engine("onednn", {"OMP_WAIT_POLICY": "passive"}),
    "GOMP_SPINCOUNT=0": Engine("onednn", {"GOMP_SPINCOUNT": "0"}),
    "GOMP_SPINCOUNT=100": Engine("onednn", {"GOMP_SPINCOUNT": "100"}),
    "GOMP_SPINCOUNT=1000": Engine("onednn", {"GOMP_SPINCOUNT": "1000"}),
    "GOMP_SPINCOUNT=10000": Engine("onednn", {"GOMP_SPINCOUNT": "10000"}),
    "KMP_BLOCKTIME=0": Engine("onednn", {"KMP_BLOCKTIME": "0"}),
    "one thread": Engine("onednn", threads=1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Nets on a busy machine, ours and OpenVINO in turns.")
    parser.add_argument("--turns", type=int, default=15, help="of each engine (default 15)")
    parser.add_argument("--calls", type=int, default=40, help="in a turn (default 40)")
    parser.add_argument("--nets", nargs="*", default=NETS, metavar="NET", help="of benchmarks/nets")
    parser.add_argument("--output", type=Path, default=RESULT)
    asked = parser.parse_args()
    rows = [row for net in asked.nets for row in measure_net(net, ENGINES, asked.turns, asked.calls, (0, 1, 2))]
    write_result(asked.output, rows, asked.turns, asked.calls)


if __name__ == "__main__":
    main()
