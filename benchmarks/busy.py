"""Times nets on a busy machine: cortado and OpenVINO, alone, and with one and two busy loops.

    pip install openvino && python benchmarks/busy.py        writes results/busy.json; some minutes on an idle machine

SqueezeNet v1.1 and MobileNet v1, batch 1 in f32, the same random weights; OpenVINO reads the net as torch's users would
write it (on_gpu/torch_net.py). Each engine is a process of its own with as many threads as the machine has cores, and
they take turns, so that what else the machine does falls on all alike. The ratio to OpenVINO in the same turns is what
counts. Settings of torch's threads are engines too: one thread, and what libgomp reads from the environment before
torch is imported (OMP_WAIT_POLICY, GOMP_SPINCOUNT; `import cortado` sets the latter to 1000 where neither is set).
KMP_BLOCKTIME is read by Intel's library, which torch's wheels for Linux do not have; it is measured all the same. All
engines' outputs have to be equal to 1e-3 of the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

RESULT = ROOT / "benchmarks" / "results" / "busy.json"
NETS = ("squeezenet_v1.1", "mobilenet_v1")
PEER = "openvino"
# By name: the environment in which ours runs, and its threads (0: as many as there are cores).
SETTINGS: dict[str, tuple[dict[str, str], int]] = {
    "ours": ({}, 0),
    "OMP_WAIT_POLICY=passive": ({"OMP_WAIT_POLICY": "passive"}, 0),
    "GOMP_SPINCOUNT=0": ({"GOMP_SPINCOUNT": "0"}, 0),
    "GOMP_SPINCOUNT=100": ({"GOMP_SPINCOUNT": "100"}, 0),
    "GOMP_SPINCOUNT=10000": ({"GOMP_SPINCOUNT": "10000"}, 0),
    "libgomp's own": ({"GOMP_SPINCOUNT": "300000"}, 0),
    "libgomp's own, KMP_BLOCKTIME=0": ({"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "0"}, 0),
    "one thread": ({}, 1),
}
BUSY = "while True: pass"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Nets on a busy machine, ours and OpenVINO in turns.")
    parser.add_argument("--turns", type=int, default=15, help="of each engine (default 15)")
    parser.add_argument("--calls", type=int, default=40, help="in a turn (default 40)")
    parser.add_argument("--nets", nargs="*", default=NETS, metavar="NET", help="of benchmarks/nets")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.engine:
        serve(asked.engine, asked.nets[0])
        return
    rows = [row for net in asked.nets for row in measure_net(net, asked.turns, asked.calls)]
    print(table(rows))
    document = {"commit": commit(), "cores": os.cpu_count(), "turns": asked.turns, "calls": asked.calls, "rows": rows}
    asked.output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def measure_net(net: str, turns: int, calls: int) -> list[Row]:
    """A row for 0, 1 and 2 busy loops: by engine the median of a call, in ms, and the ratio to OpenVINO."""
    engines = {name: Engine(name, net) for name in (PEER, *SETTINGS)}
    require_equal({name: engine.outputs for name, engine in engines.items()})
    rows = []
    for neighbours in range(3):
        loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
        try:
            times: dict[str, list[float]] = {name: [] for name in engines}
            for _ in range(turns):
                for name, engine in engines.items():
                    times[name] += engine.run(calls)
        finally:
            for loop in loops:
                loop.kill()
                loop.wait()
        ms = {name: round(1e3 * median(found), 3) for name, found in times.items()}
        slow = {name: round(1e3 * sorted(found)[len(found) * 95 // 100], 3) for name, found in times.items()}
        ratio = {name: round(ms[name] / ms[PEER], 3) for name in engines}
        rows.append({"net": net, "busy": neighbours, "ratio": ratio, "ms": ms, "ms_95th": slow})
        print(rows[-1]["net"], neighbours, ratio, flush=True)
    for engine in engines.values():
        engine.close()
    return rows


class Engine:
    """A process that holds a net, and calls it so many times when it is asked to."""

    def __init__(self, name: str, net: str) -> None:
        self.name = name
        environment, _ = SETTINGS.get(name, ({}, 0))
        words = [sys.executable, "-W", "ignore", str(Path(__file__)), "--engine", name, "--nets", net]
        self.process = subprocess.Popen(
            words, env=clean_environment() | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.outputs: list[float] = self.read()

    def read(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # libraries print, too
            if line.startswith("= "):
                return json.loads(line[2:])
        raise SystemExit(f"{self.name} ended")

    def run(self, calls: int) -> list[float]:
        """The seconds of each call."""
        assert self.process.stdin is not None
        print(calls, file=self.process.stdin, flush=True)
        seconds: list[float] = self.read()
        return seconds

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def clean_environment() -> dict[str, str]:
    """The environment without the settings of how threads wait."""
    return {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")}


def serve(name: str, net: str) -> None:
    """The process of an engine: load, run once, then run as many calls as each input line says."""
    import numpy as np

    from cortado.benchmarks.on_gpu import nets
    from cortado.compiler.text import parse

    graph = nets.with_random_weights(parse(nets.texts()[net], f"{net}.net"))
    x = nets.random_inputs(graph, seed=1)[graph.inputs[0].name].numpy()
    call = load_peer(graph, x) if name == PEER else load_ours(graph, SETTINGS[name][1])
    answer = np.asarray(call(x), np.float64).reshape(-1)
    print("=", json.dumps(answer[:1000].tolist()), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = perf_counter()
            call(x)
            seconds.append(perf_counter() - start)
        print("=", json.dumps(seconds), flush=True)


def load_ours(graph: Any, threads: int) -> Any:
    from cortado import driver
    from cortado.runtime import Net

    artifact = driver.compile_graph(graph, driver.Options()).artifact
    net = Net.from_artifact(artifact, threads=threads or None)
    (output,) = net.outputs
    return lambda x: net(x)[output]


def load_peer(graph: Any, x: Any) -> Any:
    import openvino
    import torch

    from cortado.benchmarks.on_gpu.torch_net import TorchNet

    model = openvino.convert_model(TorchNet(graph).eval(), example_input=torch.from_numpy(x))
    model.reshape(list(x.shape))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": os.cpu_count() or 1,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda x: request.infer([x])[0]


def require_equal(outputs: dict[str, list[float]]) -> None:
    """All engines have to compute the same net."""
    wanted = outputs[PEER]
    size = max(map(abs, wanted))
    for name, found in outputs.items():
        if max(abs(a - b) for a, b in zip(found, wanted, strict=True)) > 1e-3 * size:
            raise SystemExit(f"{name} and {PEER} compute different numbers")


def table(rows: list[Row]) -> str:
    """The ratio first, then milliseconds, for documents."""
    names = [PEER, *SETTINGS]
    lines = [f"| net | busy loops | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for row in rows:
        cells = [f"**{row['ratio'][name]:.2f}** ({row['ms'][name]:.1f} ms)" for name in names]
        lines.append(f"| {row['net']} | {row['busy']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
