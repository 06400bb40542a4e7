"""The resources of every GPU kernel of the benchmark nets, compiled for sm_90 without a GPU.

    python benchmarks/kernel_table.py             # writes benchmarks/kernel_tables/TRITON.json, in some minutes
    python benchmarks/kernel_table.py --check     # compares with the table instead, and fails on a regression
    PYTHONPATH=.triton36 python benchmarks/kernel_table.py    # the table of Triton 3.6.0 (make triton36)

There is a table for each version of Triton. A regression is: more spilled registers, more launches, a kernel that lost
its tensor core instructions (`wgmma`) or, with a table of the same version, more registers, shared memory, instructions
or barriers. `bytes` are those that all launches of a net read and write at least.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

from cortado.benchmarks.on_gpu.nets import BenchmarkCase, build_graph  # noqa: E402
from cortado.compiler.cost import cost  # noqa: E402
from cortado.compiler.slots import slots_and_weights  # noqa: E402
from cortado.compiler.targets import target  # noqa: E402
from cortado.compiler.targets.cuda import Cuda, lowering  # noqa: E402
from cortado.compiler.targets.cuda.aot import MachineCode, compile_machine_code  # noqa: E402
from cortado.passes import PIPELINE, Context, run  # noqa: E402

TABLES = Path(__file__).with_name("kernel_tables")
NETS = ("squeezenet_v1.1", "googlenet", "resnet50", "vgg16", "mobilenet_v1", "open_nsfw")
TARGETS = ("cuda", "cuda-f16")
BATCHES = (1, 64)
ARCHITECTURE = "sm_90"
COLUMNS = ("registers", "spilled", "shared", "wgmma", "warps", "stages")
NOT_MORE = ("registers", "shared", "instructions", "barriers")  # of a kernel that the same version of Triton compiles
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")

Row = dict[str, Any]


def cases() -> Iterator[tuple[str, str, int, str]]:
    """(name, net, batch, target) of each row of the table."""
    for net in NETS:
        for on in TARGETS:
            for batch in BATCHES:
                yield f"{net} b{batch} {on}", net, batch, on


def lower_net(net: str, batch: int, on: str) -> tuple[Row, dict[str, str]]:
    """The launches of the net, their bytes and modelled time, and the source of each kernel for sm_90, by name."""
    cuda = target(on)
    assert isinstance(cuda, Cuda)
    final = run(build_graph(BenchmarkCase(net, batch, "f32")), Context(cuda), PIPELINE)
    slots, weights = slots_and_weights(final)
    found = [lowering.lower_node(node, {**slots, **weights}, cuda.settings) for node in final.graph.nodes]
    newest = [l.kernels[0] for l in found if isinstance(l, lowering.LoweredNode) and l.kernels]
    on_host = [l.step.label for l in found if isinstance(l, lowering.HostNode)]
    assert not on_host, f"{net} has host steps: {', '.join(on_host)}"
    modelled = cuda.launches(final).microseconds
    return {"launches": len(newest), "bytes": cost(final).bytes, "modelled_us": modelled}, {
        launch.name: launch.text for launch in newest
    }


def measure_net(net: str, batch: int, on: str) -> Row:
    counts, files = lower_net(net, batch, on)
    code = compile_machine_code(files, [(name, ARCHITECTURE) for name in files])
    with ThreadPoolExecutor() as pool:
        rows = pool.map(kernel_row, (code[name, ARCHITECTURE] for name in sorted(files)))
        return {**counts, "kernels": dict(zip(sorted(files), rows, strict=True))}


def kernel_row(machine: MachineCode) -> Row:
    return {column: getattr(machine, column) for column in COLUMNS} | count_instructions(machine.cubin)


def count_instructions(cubin: bytes) -> dict[str, int]:
    """All instructions of a kernel, without what pads it, and those that wait for other warps of the block."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        listing = subprocess.run([tool, "-sass", file.name], capture_output=True, text=True, check=True).stdout
    found = [name for name in INSTRUCTION.findall(listing) if name != "NOP"]
    return {"instructions": len(found), "barriers": sum(name.startswith(("BAR.", "SYNCS")) for name in found)}


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
        for column in NOT_MORE:
            if same_compiler and kernel[column] > was[column]:
                found.append(f"{name}: {kernel[column]} {column}, before {was[column]}")
    return found


def table_path(triton: str) -> Path:
    return TABLES / f"{triton}.json"


def read_table(triton: str) -> dict[str, Any]:
    """The table of a version of Triton; of the newest one that has a table if this one has none."""
    path = table_path(triton)
    if not path.exists():
        path = max(TABLES.glob("*.json"), key=lambda p: tuple(map(int, p.stem.split("."))))
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def write_table(triton: str, nets: Row) -> None:
    """Write a table, a line for each kernel."""
    lines = json.dumps({"architecture": ARCHITECTURE, "triton": triton, "nets": nets}, indent=1)
    TABLES.mkdir(exist_ok=True)
    one_line = re.sub(r"\{\s+([^{}]*?)\s+\}", lambda m: "{" + re.sub(r"\s+", " ", m[1]) + "}", lines)
    table_path(triton).write_text(one_line + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the table instead of writing it")
    check = parser.parse_args().check
    triton = importlib.metadata.version("triton")
    nets, faults = {}, list[str]()
    before = read_table(triton) if check else {}
    if check and before["triton"] != triton:
        print(f"there is no table for Triton {triton}: compared with that of {before['triton']}, without exact counts")
    for name, net, batch, on in cases():
        nets[name] = now = measure_net(net, batch, on)
        spilling = [k for k, r in now["kernels"].items() if r["spilled"]]
        print(f"{name}: {now['launches']} launches, {len(now['kernels'])} kernels, {len(spilling)} spill", flush=True)
        if check:
            faults += [f"{name}: {w}" for w in find_regressions(now, before["nets"][name], before["triton"] == triton)]
    if check:
        print("\n".join(faults) or "no regressions")
        return 1 if faults else 0
    write_table(triton, nets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
