"""Checks and times compiled nets on a GPU: `python benchmarks/gpu.py --out gpu.json`.

It needs torch, Triton and cortado's dependencies, and downloads nothing. Each stage is a process with a time limit, and
the file is written after each stage. `--dry` runs everything on this machine's CPU instead; its numbers mean nothing.
GPU_TODO.md lists what to run on a GPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))
import torch  # noqa: E402

from cortado.benchmarks.on_gpu.machine import select_machine  # noqa: E402
from cortado.benchmarks.on_gpu.nets import BenchmarkCase  # noqa: E402
from cortado.benchmarks.on_gpu.stages import STAGE_FUNCTIONS  # noqa: E402

NETS = ("squeezenet_v1.1", "open_nsfw")
STAGE_SECONDS = {
    "environment": 60,
    "compile": 200,
    "kernels": 120,
    "nets": 120,
    "roofline": 60,
    "ours": 60,
    "eager": 120,
    "compiled": 480,
}
"""The stages in order, and the time limit of each in seconds; --minutes limits all together."""


def main() -> int:
    options = parse_arguments()
    work = Path(options.work or tempfile.mkdtemp(prefix="cortado-gpu-"))
    work.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.minutes * 60
    report: dict[str, Any] = {"options": {"dry": options.dry, "nets": options.nets, "batches": options.batches}}
    for name in options.stages:
        report[name] = run_stage(name, end - time.monotonic(), work, options)
        Path(options.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(status_line(name, report[name]), flush=True)
    print(table(report))
    return 0 if all(report[name]["state"] == "done" and is_right(report[name]) for name in options.stages) else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="gpu.json", help="the file of results")
    parser.add_argument("--dry", action="store_true", help="run on the CPU, without a GPU")
    parser.add_argument("--minutes", type=float, default=9.0, help="the time limit of all stages together")
    parser.add_argument("--work", help="a folder with compiled nets; missing ones are written to it")
    parser.add_argument("--nets", nargs="+", default=NETS, help="files of benchmarks/nets, without .net, or tiny")
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 64))
    parser.add_argument("--dtypes", nargs="+", choices=("f16", "f32"), default=("f16", "f32"))
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGE_SECONDS), default=tuple(STAGE_SECONDS))
    return parser.parse_args()


def run_stage(name: str, left: float, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one stage in a separate process. Returns its rows, and how it ended.

    The process is a fork, so that torch is imported only once. CUDA does not survive a fork; this process never uses
    it.
    """
    rows, fault = work / f"{name}.rows", work / f"{name}.fault"
    for path in (rows, fault):
        path.unlink(missing_ok=True)
    start = time.monotonic()
    if left < 1:
        return {"state": "not started: no time was left", "seconds": 0.0, "rows": []}
    process = multiprocessing.get_context("fork").Process(target=stage_main, args=(name, rows, fault, work, options))
    process.start()
    process.join(min(left, STAGE_SECONDS[name]))
    if process.is_alive():
        os.killpg(process.pid or 0, signal.SIGKILL)  # and its child processes
        process.join()
        state = "stopped: time limit"
    elif process.exitcode:
        state = f"failed: {fault.read_text('utf-8') if fault.exists() else f'exit code {process.exitcode}'}"
    else:
        state = "done"
    found = [json.loads(text) for text in rows.read_text("utf-8").splitlines()] if rows.exists() else []
    return {"state": state, "seconds": round(time.monotonic() - start, 1), "rows": found}


def stage_main(name: str, rows: Path, fault: Path, work: Path, options: argparse.Namespace) -> None:
    """The process of a stage: writes its rows, one per line, as they are computed."""
    os.setsid()
    if options.dry:
        torch.set_num_threads(1)
    dtypes = ["f32"] if options.dry else options.dtypes  # the CPU target has no f16
    cases = [BenchmarkCase(net, batch, dtype) for net in options.nets for dtype in dtypes for batch in options.batches]
    try:
        write_rows(rows, STAGE_FUNCTIONS[name](select_machine(options.dry), cases, work))
    except BaseException:
        fault.write_text(traceback.format_exc()[-3000:], encoding="utf-8")
        raise


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            file.flush()


def is_right(result: dict[str, Any]) -> bool:
    return all(row.get("right", True) for row in result["rows"])


def status_line(name: str, result: dict[str, Any]) -> str:
    wrong = sum(not row.get("right", True) for row in result["rows"])
    status = f"{name}: {result['state'].strip().splitlines()[0]}, {len(result['rows'])} rows in {result['seconds']} s"
    return f"{status}, {wrong} WRONG" if wrong else status


def table(report: dict[str, Any]) -> str:
    """The medians of all competitors, one case per line."""
    rows = [row for name in ("ours", "eager", "compiled") for row in report.get(name, {"rows": []})["rows"]]
    lines = []
    for case in dict.fromkeys(row["case"] for row in rows):
        times = ", ".join(f"{row['who']} {row['median_us']} us" for row in rows if row["case"] == case)
        lines.append(f"{case}: {times}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
