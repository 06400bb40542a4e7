"""Operations, launches and memory of each net of benchmarks/nets, batch 1 in f32, before and after the passes.

    python benchmarks/table.py [NET ...]       # writes results/nets.json if all are measured; half a minute

Weights are random. "Before" is with the required passes only, "after" with all passes. Nothing runs: launches are
counted by each target, bytes and operations as defined in compiler/cost.py, and the arena is that of the memory plan.
Only the seconds, of one compilation each, depend on the machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

from cortado import driver  # noqa: E402
from cortado.benchmarks.on_gpu import nets  # noqa: E402
from cortado.compilation import run_passes  # noqa: E402
from cortado.compiler.cost import cost  # noqa: E402
from cortado.compiler.ir import Graph  # noqa: E402
from cortado.compiler.kernel import kernel_graph  # noqa: E402
from cortado.compiler.plan import PlannedGraph  # noqa: E402
from cortado.compiler.targets import target as target_named  # noqa: E402
from cortado.compiler.text import parse  # noqa: E402
from cortado.passes import PIPELINE, REQUIRED, Pass  # noqa: E402
from cortado.passes.plan_memory import arena_bound  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "nets.json"
TARGETS = ("onednn", "cuda")
COLUMNS = "net | operators | kernels | launches onednn | on cuda | GFLOP | MB moved | arena MiB | bound | compile s"

Row = dict[str, Any]


def main(chosen: list[str]) -> None:
    names = [path.stem for path in sorted(nets.FOLDER.glob("*.net"))]
    rows = {name: measure_net(name) for name in (chosen or names)}
    print(table(rows))
    if not chosen:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure_net(name: str) -> Row:
    """The row of a net. Pairs of numbers are before and after the passes."""
    written = nets.with_random_weights(parse(nets.texts()[name], f"{name}.net"))
    spent = time_compilation(name, written)  # first, before anything is cached
    plain = {target: collect_counts(plan_graph(written, target, REQUIRED), target) for target in TARGETS}
    best = {target: plan_graph(written, target, PIPELINE) for target in TARGETS}
    found = {target: collect_counts(graph, target) for target, graph in best.items()}
    before, after = cost(PlannedGraph(written)), cost(best["onednn"])
    return {
        "parameters": before.parameters,
        "operators": [len(written.nodes), len(best["onednn"].graph.nodes)],
        "flops": [before.flops, after.flops],
        "bytes": [before.bytes, after.bytes],
        **{target: {key: [plain[target][key], found[target][key]] for key in found[target]} for target in TARGETS},
        "seconds": round(spent, 2),
    }


def plan_graph(written: Graph, target: str, passes: tuple[Pass, ...]) -> PlannedGraph:
    """The net after these passes, with its memory plan."""
    return run_passes(PlannedGraph(written), driver.Options(target), passes).final


def collect_counts(final: PlannedGraph, target: str) -> Row:
    """Kernel launches, host steps, distinct kernels; arena and its lower bound in bytes."""
    found = target_named(target).launches(final)
    different = (
        {kernel_graph(node).name for node in final.graph.nodes}
        if target == "onednn"
        else target_named(target).sources(final)
    )
    return {
        "launches": found.kernels,
        "host": found.host,
        "kernels": len(different),
        "arena": final.plan.arena or 0,
        "bound": arena_bound(final),
    }


def time_compilation(name: str, written: Graph) -> float:
    """The seconds to compile the net for the CPU, from its text to an artifact, with weights in memory."""
    start = perf_counter()
    parse(nets.texts()[name], f"{name}.net")
    driver.compile_graph(written, driver.Options())
    return perf_counter() - start


def table(rows: dict[str, Row]) -> str:
    """The table in benchmarks/README.md: before → after."""
    lines = [f"| {COLUMNS} |", "|---" * len(COLUMNS.split("|")) + "|"]
    for name, row in rows.items():
        cpu, cuda = row["onednn"], row["cuda"]
        host = f" + {cuda['host'][1]} on the host" if cuda["host"][1] else ""
        cells = (
            name,
            "{} → {}".format(*row["operators"]),
            f"{cpu['kernels'][1]}",
            "{} → {}".format(*cpu["launches"]),
            "{} → {}".format(*cuda["launches"]) + host,
            f"{row['flops'][1] / 1e9:.2f}",
            "{:.0f} → {:.0f}".format(*(b / 1e6 for b in row["bytes"])),
            "{:.2f} → {:.3f}".format(*(b / 2**20 for b in cpu["arena"])),
            f"{cpu['bound'][1] / 2**20:.3f}",
            f"{row['seconds']:.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
