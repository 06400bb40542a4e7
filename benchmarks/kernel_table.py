"""The resources of every GPU kernel of the benchmark nets, compiled for sm_90 without a GPU.

    python benchmarks/kernel_table.py             # writes benchmarks/kernel_table.json, in a few minutes
    python benchmarks/kernel_table.py --check     # compares with the table instead, and fails on a regression

A regression is: more spilled registers, more launches, a kernel that lost its tensor core instructions (`wgmma`) or,
with the same version of Triton, more registers or shared memory.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".src"), str(ROOT)]

from benchmarks.on_gpu.nets import BenchmarkCase, build_graph  # noqa: E402

from cortado.compiler.slots import slots_and_weights  # noqa: E402
from cortado.compiler.targets import target  # noqa: E402
from cortado.compiler.targets.cuda import Cuda, lowering  # noqa: E402
from cortado.compiler.targets.cuda.aot import MachineCode, compile_machine_code  # noqa: E402
from cortado.passes import PIPELINE, Context, run  # noqa: E402

TABLE = Path(__file__).with_suffix(".json")
NETS = ("squeezenet_v1.1", "open_nsfw")
TARGETS = ("cuda", "cuda-f16")
BATCHES = (1, 64)
ARCHITECTURE = "sm_90"
COLUMNS = ("registers", "spilled", "shared", "wgmma", "warps", "stages")

Row = dict[str, Any]


def cases() -> Iterator[tuple[str, str, int, str]]:
    """(name, net, batch, target) of each row of the table."""
    for net in NETS:
        for on in TARGETS:
            for batch in BATCHES:
                yield f"{net} b{batch} {on}", net, batch, on


def lower_net(net: str, batch: int, on: str) -> tuple[int, dict[str, str]]:
    """The number of kernel launches of the net, and the source of each kernel for sm_90, by name."""
    cuda = target(on)
    assert isinstance(cuda, Cuda)
    final = run(build_graph(BenchmarkCase(net, batch, "f32")), Context(cuda), PIPELINE)
    slots, weights = slots_and_weights(final)
    found = [lowering.lower_node(node, {**slots, **weights}, cuda.settings) for node in final.graph.nodes]
    newest = [l.kernels[0] for l in found if isinstance(l, lowering.LoweredNode) and l.kernels]
    on_host = [l.step.label for l in found if isinstance(l, lowering.HostNode)]
    assert not on_host, f"{net} has host steps: {', '.join(on_host)}"
    return len(newest), {launch.name: launch.text for launch in newest}


def measure_net(net: str, batch: int, on: str) -> Row:
    launches, files = lower_net(net, batch, on)
    code = compile_machine_code(files, [(name, ARCHITECTURE) for name in files])
    return {"launches": launches, "kernels": {name: kernel_row(code[name, ARCHITECTURE]) for name in sorted(files)}}


def kernel_row(machine: MachineCode) -> Row:
    return {column: getattr(machine, column) for column in COLUMNS}


def find_regressions(now: Row, before: Row, same_compiler: bool) -> list[str]:
    """Sentences on all regressions of one net."""
    found = [f"{now['launches']} launches, before {before['launches']}"] if now["launches"] > before["launches"] else []
    for name, kernel in now["kernels"].items():
        was = before["kernels"].get(name)
        if kernel["spilled"] > (was or {}).get("spilled", 0):
            found.append(f"{name} spills {kernel['spilled']} bytes")
        if was is None:
            found.append(f"{name} is not in the table: write it again")
            continue
        if was["wgmma"] and not kernel["wgmma"]:
            found.append(f"{name} no longer uses tensor cores")
        for column in ("registers", "shared"):
            if same_compiler and kernel[column] > was[column]:
                found.append(f"{name}: {kernel[column]} {column}, before {was[column]}")
    return found


def read_table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the table instead of writing it")
    check = parser.parse_args().check
    triton = importlib.metadata.version("triton")
    nets, faults = {}, list[str]()
    for name, net, batch, on in cases():
        nets[name] = now = measure_net(net, batch, on)
        spilling = [k for k, r in now["kernels"].items() if r["spilled"]]
        print(f"{name}: {now['launches']} launches, {len(now['kernels'])} kernels, {len(spilling)} spill", flush=True)
        if check:
            before = read_table()
            faults += [f"{name}: {w}" for w in find_regressions(now, before["nets"][name], before["triton"] == triton)]
    if check:
        print("\n".join(faults) or "no regressions")
        return 1 if faults else 0
    stated = {"architecture": ARCHITECTURE, "triton": triton, "nets": nets}
    TABLE.write_text(json.dumps(stated, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
