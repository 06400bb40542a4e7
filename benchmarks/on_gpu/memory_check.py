"""Runs NVIDIA's memory checker on single items that were wrong or failed."""

from __future__ import annotations

import shutil
import sys
import time

from .journal import REFERENCE, Journal, read_rows, run_limited
from .nets import case_of
from .session import Session, StageRun

SECONDS = 45.0
LEAST_SECONDS = 10.0
MOST_CHECKS = 3  # of a second call


def check_memory(session: Session, journal: Journal, key: str, deadline: float, stage: str = "") -> None:
    """Run compute-sanitizer on one item of a stage, if the tool is there; its report goes to the log."""
    tool, seconds = shutil.which("compute-sanitizer"), min(SECONDS, deadline - time.monotonic() - 5)
    if tool is None or seconds < LEAST_SECONDS:
        journal.log("compute-sanitizer is not there" if tool is None else "no time for compute-sanitizer")
        return
    command = [tool, "--tool", "memcheck", "--print-limit", "8", sys.executable]
    said = run_limited([*command, *session.command_for(stage or journal.stage, key)], seconds)
    journal.row("results", f"memory check of {key}", said=said[-6000:])
    journal.log(f"compute-sanitizer on {key}:\n{said[-6000:]}")


def check_wrong(run: StageRun) -> None:
    """The memory checker on the first kernels and nets that were wrong in the first call."""
    rows = read_rows(run.work / "call-1" / "results.jsonl")
    wrong = {row["key"].removesuffix(REFERENCE): row["stage"] for row in rows if row.get("right") is False}
    of_cases = [(key, stage) for key, stage in wrong.items() if stage in ("kernels", "nets") and case_of(key)]
    for key, stage in of_cases[:MOST_CHECKS]:
        check_memory(run.session, run.journal, key, run.deadline, stage)
