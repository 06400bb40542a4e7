"""Engines that run a net in processes of their own and take turns, so that other load falls on all alike.

OpenVINO is the peer (pip install openvino). It reads the net as torch's users would write it (on_gpu/torch_net.py).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

PEER = "openvino"
BUSY = "while True: pass"
COMPARED = 1000  # numbers of the output
TOLERANCE = 1e-3  # of the largest
Row = dict[str, Any]


@dataclass(frozen=True)
class Engine:
    """What runs a net: OpenVINO if `target` is "openvino", else cortado for that target.

    `environment` is added to the process's; `threads` 0 means as many as there are cores.
    """

    target: str
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0


class EngineProcess:
    """A process that holds a net, and calls it so many times when it is asked to: see `answer_calls`."""

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *words],
            env=clean_environment() | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        answer = self.read()
        self.outputs: list[float] = answer["outputs"]
        self.load_seconds: float = answer["seconds"]

    @classmethod
    def of(cls, engine: Engine, net: str, batch: int = 1) -> EngineProcess:
        """A process of this file, which runs a net of benchmarks/nets on batches."""
        words = [__file__, engine.target, net, str(engine.threads), str(batch)]
        return cls(engine.target, words, engine.environment)

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

    def peak_memory(self) -> int:
        """The largest resident memory of the process so far, in bytes."""
        assert self.process.stdin is not None
        print("memory", file=self.process.stdin, flush=True)
        found: int = self.read()
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure_net(
    net: str, engines: Mapping[str, Engine], turns: int, calls: int, neighbours: Sequence[int] = (0,), batch: int = 1
) -> list[Row]:
    """A row for each number of busy loops beside.

    By engine the ratio of OpenVINO's median to its own, the median and the 95th percentile of a call in ms, and the
    seconds until the first answer.
    """
    running = {name: EngineProcess.of(engine, net, batch) for name, engine in {PEER: Engine(PEER), **engines}.items()}
    require_equal({name: process.outputs for name, process in running.items()})
    rows = []
    for count in neighbours:
        times: dict[str, list[float]] = {name: [] for name in running}
        with busy_loops(count):
            for _ in range(turns):
                for name, process in running.items():
                    times[name] += process.run(calls)
        ms = {name: round(1e3 * median(found), 3) for name, found in times.items()}
        slow = {name: round(1e3 * sorted(found)[len(found) * 95 // 100], 3) for name, found in times.items()}
        ratio = {name: round(ms[PEER] / ms[name], 3) for name in running}
        first = {name: round(process.load_seconds, 2) for name, process in running.items()}
        rows.append({"net": net, "busy": count, "ratio": ratio, "ms": ms, "ms_95th": slow, "first_answer_s": first})
        print(net, count, ratio, flush=True)
    for process in running.values():
        process.close()
    return rows


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def clean_environment() -> dict[str, str]:
    """The environment without what says how threads wait."""
    return {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")}


def serve(target: str, net: str, threads: int, batch: int) -> None:
    """The process of an engine that runs a net of benchmarks/nets."""
    from cortado.benchmarks.on_gpu import nets
    from cortado.compiler.text import parse

    graph = nets.with_random_weights(nets.with_batch(parse(nets.texts()[net], f"{net}.net"), batch))
    x = nets.random_inputs(graph, seed=1)[graph.inputs[0].name].numpy()

    def load() -> Callable[[], Any]:
        call = load_peer(graph, x) if target == PEER else load_ours(graph, target, threads)
        return lambda: call(x)

    answer_calls(load)


def answer_calls(load: Callable[[], Callable[[], Any]]) -> None:
    """The loop of an engine's process: load, call once, then do what each line of standard input says.

    A number is how often to call; the answer is the seconds of each call. "memory" asks for the peak of resident
    memory.
    """
    import numpy as np

    start = perf_counter()
    call = load()
    answer = np.asarray(call(), np.float64).reshape(-1)
    print("=", json.dumps({"outputs": answer[:COMPARED].tolist(), "seconds": perf_counter() - start}), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print("=", json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024), flush=True)
            continue
        seconds = []
        for _ in range(int(line)):
            start = perf_counter()
            call()
            seconds.append(perf_counter() - start)
        print("=", json.dumps(seconds), flush=True)


def load_ours(graph: Any, target: str, threads: int) -> Callable[[Any], Any]:
    from cortado import driver
    from cortado.runtime import Net

    artifact = driver.compile_graph(graph, driver.Options(target=target)).artifact
    net = Net.from_artifact(artifact, threads=threads or None)
    (output,) = net.outputs
    return lambda x: net(x)[output]


def load_peer(graph: Any, x: Any) -> Callable[[Any], Any]:
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
    """SystemExit unless all engines compute what the first one does."""
    peer, *others = outputs
    wanted = outputs[peer]
    size = max(map(abs, wanted))
    for name in others:
        if max(abs(a - b) for a, b in zip(outputs[name], wanted, strict=True)) > TOLERANCE * size:
            raise SystemExit(f"{name} and {peer} compute different numbers")


def format_table(rows: Sequence[Row]) -> str:
    """The ratio first, then milliseconds, for documents."""
    names = list(rows[0]["ratio"])
    lines = [f"| net | busy loops | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for row in rows:
        cells = [f"**{row['ratio'][name]:.2f}** ({row['ms'][name]:.1f} ms)" for name in names]
        lines.append(f"| {row['net']} | {row['busy']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_result(path: Path, rows: Sequence[Row], turns: int, calls: int) -> None:
    """Print the table, and write rows with what made them."""
    print(format_table(rows))
    document = {"commit": commit(), "cores": os.cpu_count(), "turns": turns, "calls": calls, "rows": rows}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
