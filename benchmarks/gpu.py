"""Checks and times compiled nets on a GPU: `python benchmarks/gpu.py --call 1 --out FOLDER`, then `--call 2`.

GPU_TODO.md says what to type and how to read the outcome. It needs torch, Triton and cortado's dependencies, and
downloads nothing. `--dry` goes through all of it on this machine's CPU and a stand-in for CUDA's driver; its numbers
mean nothing. Files that are written to --out as results come: results, steps, sweep and peers (.jsonl), log.txt,
clocks.csv, and failing.json for the first kernel that is wrong. `gpu_report.py` makes tables of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

START = time.monotonic()  # the imports below take seconds
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))

from cortado.benchmarks.on_gpu.calls import BACKGROUND, STAGES, choose_cases, choose_stages, wrong_cases, wrong_keys  # noqa: E402
from cortado.benchmarks.on_gpu.contact import SMI_QUERY  # noqa: E402
from cortado.benchmarks.on_gpu.journal import FILES, read_rows  # noqa: E402
from cortado.benchmarks.on_gpu.precompile import precompile  # noqa: E402
from cortado.benchmarks.on_gpu.session import Session  # noqa: E402
from cortado.benchmarks.on_gpu.supervisor import Supervisor  # noqa: E402

SECONDS = {1: 560.0, 2: 230.0}
"""The most that each call takes, from its first line to its last."""


def main() -> int:
    options = parse_arguments()
    if options.precompile:
        precompile(Path(options.precompile), choose_cases(options.nets, options.batches, options.dtypes, None))
        return 0
    session = make_session(options)
    supervisor = Supervisor(session)
    clocks = log_clocks(session.out)
    names = options.stages or choose_stages(options.call, wrong_keys(session.work / "call-1"))
    try:
        if not session.only:
            needed = {"prepare": True, "prepare launches": options.dry, "candidates": "sweep" in names}
            needed["compile settings"] = "settings" in names
            for name, run, launches, nice in BACKGROUND:
                if needed[name]:  # on a GPU, all stages have the same compiled nets
                    supervisor.start_background(name, run, launches, nice)
        for name in names:
            supervisor.run(STAGES[name])
    finally:
        supervisor.stop_background()
        if clocks is not None:
            clocks.kill()
    if options.call == 1 and not session.only:
        keep_for_second_call(session)
    return print_summary(session.out)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--call", type=int, choices=(1, 2), default=1, help="the first call, or the second")
    parser.add_argument("--out", default="gpu-results", help="the folder of results, which is added to")
    parser.add_argument("--work", default=str(ROOT / ".gpu"), help="the folder of compiled nets, kept between calls")
    parser.add_argument("--dry", action="store_true", help="run on the CPU, without a GPU")
    parser.add_argument("--seconds", type=float, help="the most that the call takes, if not 560 or 230")
    parser.add_argument("--nets", nargs="+", help="files of benchmarks/nets, without .net, or tiny")
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--dtypes", nargs="+", choices=("f16", "f32"))
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGES), help="only these, in this order")
    parser.add_argument("--candidates", type=int, default=12, help="tiles to try for each matrix product")
    parser.add_argument("--resume", action="store_true", help="go on behind what an earlier call did")
    parser.add_argument("--only", default="", metavar="KEY", help="only this item, as the log names it")
    parser.add_argument(
        "--precompile", metavar="FOLDER", help="compile all kernels into a cache folder, and nothing else"
    )
    return parser.parse_args()


def make_session(options: argparse.Namespace) -> Session:
    out, work = Path(options.out).resolve(), Path(options.work).resolve()
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    dtypes = ["f32"] if options.dry else options.dtypes  # the CPU has no f16
    call = options.call
    cases = choose_cases(options.nets, options.batches, dtypes, call)
    if call == 2 and not options.nets:  # what was wrong comes first
        cases = list(dict.fromkeys([*wrong_cases(wrong_keys(work / "call-1")), *cases]))
    deadline = START + (options.seconds or SECONDS[call])
    session = Session(cases, out, work, START, deadline, options.dry, options.candidates, options.only)
    for folder in (work / "state-of-one", *([] if options.resume or options.only else [session.state])):
        shutil.rmtree(folder, ignore_errors=True)
    if options.dry:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    return session


def log_clocks(out: Path) -> subprocess.Popen[bytes] | None:
    """Write the GPU's clocks, power and temperature to clocks.csv once a second; None without nvidia-smi."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    command = [tool, f"--query-gpu=timestamp,{SMI_QUERY}", "--format=csv", "-lms", "1000"]
    with (out / "clocks.csv").open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)


def keep_for_second_call(session: Session) -> None:
    """Copy the rows to where a second call finds them, also if --out is emptied in between."""
    kept = session.work / "call-1"
    kept.mkdir(exist_ok=True)
    for name in FILES:
        if (path := session.out / f"{name}.jsonl").exists():
            shutil.copy(path, kept)


def print_summary(out: Path) -> int:
    """The verdict and the ratios, shortest last. Returns 0 if nothing was wrong."""
    rows, peers = read_rows(out / "results.jsonl"), read_rows(out / "peers.jsonl")
    wrong = [row for row in rows if row.get("right") is False]
    for row in peers:
        print(f"{row['ratio']:7.3f}  {row['median_us']:10.1f} us  {row['case']}  {row['who']} ({row['precision']})")
    for row in rows:
        if row.get("state", "done") != "done":
            print(f"{row['key']}: {row['state']}")
    checked = [row for row in rows if "error" in row and "limit" in row]
    print(f"{len(checked)} kernels and nets compared, {len(wrong)} wrong or faulty")
    print_some([f"WRONG {row['key']}: {first_line(row)}" for row in wrong], 20)
    return 1 if wrong else 0


def print_some(lines: Sequence[str], most: int) -> None:
    print("\n".join([*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]))


def first_line(row: dict[str, object]) -> str:
    fault = str(row.get("fault", "")).strip().splitlines()
    return fault[-1] if fault else f"error {row.get('error')}, same twice: {row.get('same_twice')}"


if __name__ == "__main__":
    sys.exit(main())
