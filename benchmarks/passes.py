"""How the time of parsing, verifying, every pass and building grows with the net: 100, 1,000 and 10,000 nodes.

    python benchmarks/passes.py [--sizes 100 1000 10000] [--runs 3] [--out FILE]

Several kinds of nets are generated to reveal quadratic time: in the length of a chain, the operands of a concat, the
number of live values, the weights, or the consumers of one value. The exponent e is that of seconds = c · nodesᵉ
between the two largest sizes: 1 is linear. Seconds are processor time of one thread, the minimum of several runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
from collections.abc import Callable
from functools import partial
from math import log
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "passes.json"
sys.path.insert(0, str(ROOT / ".src"))
import torch  # noqa: E402

from cortado.compiler.build import build  # noqa: E402
from cortado.compiler.ir import Constant, Graph  # noqa: E402
from cortado.compiler.plan import PlannedGraph  # noqa: E402
from cortado.compiler.rewrite import Writer  # noqa: E402
from cortado.compiler.targets import target  # noqa: E402
from cortado.compiler.text import parse, show  # noqa: E402
from cortado.compiler.text.weights import weights_by_handle  # noqa: E402
from cortado.compiler.verify import verify  # noqa: E402
from cortado.passes import PIPELINE, Context, apply  # noqa: E402


def chain(nodes: int) -> list[str]:
    """Repeated convolution, BatchNorm, Scale, ReLU and Dropout, each with separate weights."""
    lines = []
    for i in range(nodes // 5):
        last = f"d{i - 1}" if i else "x"
        lines += [f"weight w{i}: f32[2,2,1,1]"] + [f"weight {v}{i}: f32[2]" for v in ("m", "v", "g", "b")]
        lines += [f"c{i} = conv({last}, w{i})", f"n{i} = batch_norm(c{i}, m{i}, v{i})"]
        lines += [f"s{i} = scale(n{i}, g{i}, b{i})", f"r{i} = relu(s{i})", f"d{i} = dropout(r{i})"]
    return [*lines, f"return d{nodes // 5 - 1}"]


def elementwise(nodes: int) -> list[str]:
    """One chain of elementwise operators."""
    lines = [f"v{i} = {'tanh' if i % 2 else 'abs'}({f'v{i - 1}' if i else 'x'})" for i in range(nodes)]
    return [*lines, f"return v{nodes - 1}"]


def residual(nodes: int) -> list[str]:
    """Residual blocks of two convolutions, a shortcut and a sum."""
    lines = ["weight w: f32[2,2,3,3]"]
    for i in range(nodes // 5):
        last = f"y{i - 1}" if i else "x"
        lines += [f"a{i} = relu(conv({last}, w, pad=1))", f"b{i} = conv(a{i}, w, pad=1)"]
        lines.append(f"y{i} = relu(add({last}, b{i}))")
    return [*lines, f"return y{nodes // 5 - 1}"]


def wide(nodes: int) -> list[str]:
    """A concat of a quarter as many values, and a slice whose results are concatenated again."""
    half = nodes // 4
    lines = [f"a{i} = relu(x, slope={i})" for i in range(half)]
    lines += [f"t{i} = tanh(a{i})" for i in range(half)]
    lines.append(f"y = concat({', '.join(f't{i}' for i in range(half))})")
    lines.append(f"{', '.join(f'p{i}' for i in range(half))} = slice(y, parts={half})")
    lines += [f"q{i} = abs(p{i})" for i in range(half)]
    lines.append(f"z = concat({', '.join(f'q{i}' for i in range(half))})")
    return [*lines, "return z"]


def living(nodes: int) -> list[str]:
    """Half of the values are computed first and are all live until they are read, the oldest last."""
    half = nodes // 2
    lines = [f"a{i} = relu(x, slope={i + 1})" for i in range(half)]
    lines += [f"s{i} = avg_pool(a{half - 1 - i}, kernel=2)" for i in range(half)]
    return [*lines, f"return {', '.join(f's{i}' for i in range(half))}"]


def inception(nodes: int) -> list[str]:
    """Modules of four branches and a concat."""
    lines = ["weight w: f32[2,8,1,1]", "weight u: f32[8,2,1,1]", "v.0 = conv(x, u)"]
    for i in range(nodes // 9):
        branches = [f"relu(conv(v.{i}, w))", f"tanh(conv(v.{i}, w))", f"abs(conv(v.{i}, w))", f"conv(v.{i}, w)"]
        lines += [f"b{i}.{j} = {b}" for j, b in enumerate(branches)]
        lines.append(f"v.{i + 1} = concat({', '.join(f'b{i}.{j}' for j in range(4))})")
    return [*lines, f"return v.{nodes // 9}"]


def merging(nodes: int) -> list[str]:
    """Pairs of convolutions that can be merged on a GPU, each after a concat of the previous pair."""
    lines = ["weight w: f32[16,2,1,1]", "weight u: f32[8,16,1,1]", "weight v: f32[8,16,1,1]", "y.0 = conv(x, w)"]
    for i in range(nodes // 5):
        lines.append(f"y.{i + 1} = concat(relu(conv(y.{i}, u)), conv(y.{i}, v))")
    return [*lines, f"return y.{nodes // 5}"]


NETS: dict[str, Callable[[int], list[str]]] = {
    f.__name__: f for f in (chain, elementwise, residual, wide, living, inception, merging)
}
GPU = ("merging",)  # compiled for cuda, without building, which would time Triton


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured = {}
    for name in options.nets:
        seconds = {
            n: min_seconds([time_stages(net_text(NETS[name](n)), name in GPU) for _ in range(options.runs)])
            for n in options.sizes
        }
        names = seconds[options.sizes[0]]
        measured[name] = {stage: fit_growth({n: s[stage] for n, s in seconds.items()}) for stage in names}
        print(f"\n{name}\n{table(measured[name], options.sizes)}", flush=True)
    machine = {"processor": platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
    report = {"machine": machine, "sizes": options.sizes, "runs": options.runs, "nets": measured}
    Path(options.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def net_text(lines: list[str]) -> str:
    return "net generated(x: f32[1,2,4,4]) {\n" + "".join(f"    {l}\n" for l in lines) + "}\n"


def time_stages(written: str, gpu: bool) -> dict[str, float]:
    """The seconds of each stage for one text."""
    seconds: dict[str, float] = {}

    def time_stage(name: str, work: Callable[[], Any]) -> Any:
        gc.collect()
        start = process_time()
        made = work()
        seconds[name] = process_time() - start
        return made

    graph = with_random_weights(time_stage("parse", lambda: parse(written)))
    time_stage("verify", lambda: verify(graph))
    context, made = Context(target("cuda" if gpu else "cpu")), PlannedGraph(graph)
    for p in PIPELINE:
        made = time_stage(p.__name__, partial(apply, p, made, context))
    time_stage("verify the plan", lambda: verify(*made))
    dumped, weights = time_stage("show", lambda: show(*made)), weights_by_handle(made.graph)
    time_stage("parse the dump", lambda: parse(dumped, weights=weights))
    if not gpu:
        time_stage("build", lambda: build(made, graph, "onednn"))
    return seconds


def with_random_weights(graph: Graph) -> Graph:
    torch.manual_seed(0)
    writer = Writer(graph)
    for c in graph.constants:
        writer[c] = Constant(c.name, c.type, data=torch.rand(c.type.shape) + 0.5)
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()


def min_seconds(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(run[name] for run in runs) for name in runs[0]}


def fit_growth(seconds: dict[int, float]) -> dict[str, Any]:
    """The seconds by size, and the exponent between the two largest sizes."""
    (small, a), (large, b) = sorted(seconds.items())[-2:]
    exponent = log(max(b, 1e-6) / max(a, 1e-6)) / log(large / small)
    return {"seconds": {str(n): round(s, 5) for n, s in seconds.items()}, "exponent": round(exponent, 2)}


def table(stages: dict[str, Any], sizes: list[int]) -> str:
    lines = [f"{'':18}" + "".join(f"{n:>12,}" for n in sizes) + "   exponent"]
    for name, row in stages.items():
        lines.append(f"{name:18}" + "".join(f"{s:12.4f}" for s in row["seconds"].values()) + f"{row['exponent']:11.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
