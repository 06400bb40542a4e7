"""The time to compile SqueezeNet v1.1 for the CPU, compared with `import torch` in the same process.

    python benchmarks/compile_time.py [--runs 9] [--prototxt FILE --caffemodel FILE] [--out FILE]
    python benchmarks/compile_time.py --largest [--runs 3]         the published nets with the most layers

Every run is a fresh process: it imports torch, imports cortado, compiles once, and a second time. The net is
benchmarks/nets/squeezenet_v1.1.net with random weights or, if given, the published files. Seconds depend on the machine
and its load; the ratio within one process is more reliable.

--largest reads prototxts from a folder beside the checkout (see tests/shared.py), with random weights that are in
memory before the clock starts: a run is reading the prototxt, all passes, and building, on one thread. The nets'
processes are interleaved. Both wall time and processor time are measured. The results are added to those that the file
holds already.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NET = ROOT / "benchmarks" / "nets" / "squeezenet_v1.1.net"
RESULTS = ROOT / "benchmarks" / "results" / "compile_time.json"
sys.path.insert(0, str(ROOT / ".src"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--largest", action="store_true", help="the largest published nets instead of SqueezeNet")
    parser.add_argument("--prototxt", help="the published net instead of benchmarks/nets")
    parser.add_argument("--caffemodel")
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--once", nargs="+", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(time_compilation(options.once[0]) if options.largest else run_once(options.once)))
        return
    if options.largest:
        found = {"largest published nets": measure_largest(options.runs or 3)}
        known = json.loads(Path(options.out).read_text("utf-8")) if Path(options.out).exists() else {}
        Path(options.out).write_text(json.dumps(known | found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found, indent=1))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = (
            [options.prototxt, options.caffemodel]
            if options.prototxt
            else [str(dump_with_random_weights(Path(folder)))]
        )
        _, *runs = (run_fresh_process(files) for _ in range((options.runs or 9) + 1))  # fills the page cache
    report = summarize(runs, "published files" if options.prototxt else NET.name)
    if Path(options.out).exists():  # keep the results of --largest
        report = json.loads(Path(options.out).read_text("utf-8")) | report
    Path(options.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def dump_with_random_weights(folder: Path) -> Path:
    """The net with random weights, dumped to a folder. Returns the path of its text."""
    import torch

    from cortado.compiler.ir import Constant
    from cortado.compiler.plan import PlannedGraph
    from cortado.compiler.rewrite import Writer
    from cortado.compiler.text import parse
    from cortado.compiler.text.weights import dump

    torch.manual_seed(0)
    graph = parse(NET.read_text("utf-8"), NET.name)
    writer = Writer(graph)
    for c in graph.constants:
        writer[c] = Constant(c.name, c.type, data=torch.randn(c.type.shape) * 0.1)
    for node in graph.nodes:
        writer.copy(node)
    return dump(folder, {"squeezenet": PlannedGraph(writer.finish())})[0]


LARGEST_NETS = (  # files of the zoo, with 1,170, 1,169 and 987 layers
    "air--caffe-model__cls__air__deploy_air152",
    "resnet-v2--caffe-model__cls__resnet-v2__deploy_resnet269-v2",
    "resnet-v2--caffe-model__cls__inception__deploy_inception-resnet-v2",
)


def measure_largest(runs: int) -> list[dict[str, Any]]:
    """Medians and maxima for each of the largest nets, of interleaved fresh processes."""
    from cortado.tests.shared import SHARED

    paths = [SHARED / "zoo" / "prototxt" / f"{name}.prototxt" for name in LARGEST_NETS]
    measured = [[run_fresh_process([str(path)], "--largest") for path in paths] for _ in range(runs)]
    rows = []
    for name, found in zip(LARGEST_NETS, zip(*measured, strict=True), strict=True):
        clocks = {clock: [one[clock] for one in found] for clock in ("wall", "processor")}
        stages = {s: round(median(one["stages"][s] for one in found), 4) for s in found[0]["stages"]}
        rows.append(
            {
                "net": name,
                "layers": found[0]["layers"],
                "steps": found[0]["steps"],
                "runs": runs,
                "seconds": {
                    clock: {"median": round(median(seconds), 3), "longest": round(max(seconds), 3)}
                    for clock, seconds in clocks.items()
                },
                "stages": dict(sorted(stages.items(), key=lambda s: -s[1])),
            }
        )
    return rows


def time_compilation(path: str) -> dict[str, Any]:
    """Time one compilation, from the prototxt to an artifact, with weights in memory."""
    import torch

    from cortado import driver
    from cortado.benchmarks.zoo import random_weight

    torch.set_num_threads(1)
    kept = dict[tuple[str, int], Any]()

    def cached_weight(layer: str, type: str, index: int, shape: tuple[int, ...]) -> Any:
        return kept.setdefault((layer, index), random_weight(layer, type, index, shape))

    driver.read_net(path, cached_weight)
    wall, processor = perf_counter(), process_time()
    compiled = driver.compile_net(path, lambda layer, type, index, shape: kept[layer, index])
    seconds = {"wall": perf_counter() - wall, "processor": process_time() - processor}
    layers, steps = compiled.file.layers, len(compiled.artifact.plan.steps)
    return seconds | {"layers": layers, "steps": steps, "stages": dict(compiled.seconds)}


def run_fresh_process(files: list[str], *flags: str) -> dict[str, Any]:
    """The measurements of a fresh process."""
    command = [sys.executable, __file__, *flags, "--once", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_once(files: list[str]) -> dict[str, Any]:
    seconds: dict[str, Any] = {}
    start = perf_counter()
    import torch

    seconds["import torch"] = perf_counter() - start
    start = perf_counter()
    from cortado import driver

    seconds["import cortado"] = perf_counter() - start
    for name in ("compile", "compile again"):
        start = perf_counter()
        compiled = driver.compile_net(files[0], files[1] if len(files) > 1 else None)
        compiled.load()
        seconds[name] = perf_counter() - start
        seconds[f"stages of {name}"] = dict(compiled.seconds)
    return seconds | {"torch": torch.__version__}


def summarize(runs: list[dict[str, Any]], net: str) -> dict[str, Any]:
    """Medians in seconds, and medians of the ratios within each run."""
    names = ("import torch", "import cortado", "compile", "compile again")
    stages = {s: median(r["stages of compile"].get(s, 0.0) for r in runs) for s in runs[0]["stages of compile"]}
    ratios = [r["compile"] / r["import torch"] for r in runs]
    with_import = [(r["compile"] + r["import cortado"]) / r["import torch"] for r in runs]
    return {
        "net": net,
        "runs": len(runs),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "torch": runs[0]["torch"],
        "seconds": {name: round(median(r[name] for r in runs), 4) for name in names},
        "compile / import torch": {"median": round(median(ratios), 3), "largest": round(max(ratios), 3)},
        "(compile + import cortado) / import torch": {
            "median": round(median(with_import), 3),
            "largest": round(max(with_import), 3),
        },
        "stages": {name: round(s, 4) for name, s in sorted(stages.items(), key=lambda s: -s[1])},
    }


def table(report: dict[str, Any]) -> str:
    lines = [f"{name:48} {seconds:7.3f} s" for name, seconds in report["seconds"].items()]
    for name in ("compile / import torch", "(compile + import cortado) / import torch"):
        ratio = report[name]
        lines.append(f"{name:48} {ratio['median']:7.3f}   (largest of {report['runs']}: {ratio['largest']})")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
