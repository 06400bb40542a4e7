"""What a call leaves behind: rows as JSON lines, a log of what is about to run, and which items are done or faulty.

Every line is written and flushed before the next thing happens, so a killed call loses nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cortado.runtime.cuda.driver import CudaError

Row = dict[str, Any]
FILES = ("results", "steps", "sweep", "peers")
TRIALS = ("candidates", "sweep", "tuned", "compiled", "settings", "profile")
"""Stages whose faults say nothing of the compiled nets as they are: other tiles and settings, and peers."""
REFERENCE = " (reference)"  # ends the names of items that compute what is expected
STICKY = 9  # exit code of a process whose CUDA context is lost
LOST_CONTEXT = frozenset((700, 702, 708, 709, 710, 714, 715, 716, 717, 718, 719, 999))
"""Codes of CUDA after which no call succeeds in the same process: illegal address, timeout, illegal instruction, ..."""


class Journal:
    """One stage's view of the journal. `out` is what comes back, `state` what a process that goes on has to know.

    `probe` fails if CUDA's context is lost: not every library says so where it notices.
    """

    def __init__(
        self,
        out: Path,
        state: Path,
        stage: str,
        start: float,
        only: str = "",
        probe: Callable[[], object] = lambda: None,
    ) -> None:
        self.out, self.state, self.stage, self.start, self.only, self.probe = out, state, stage, start, only, probe
        out.mkdir(parents=True, exist_ok=True)
        state.mkdir(parents=True, exist_ok=True)
        self.faulty = set(self.read_keys("faulty"))
        self.finished = set(self.read_keys("done")) | self.faulty

    def read_keys(self, kind: str) -> list[str]:
        path = self.state / f"{self.stage}.{kind}"
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def add_key(self, kind: str, key: str) -> None:
        self.finished.add(key)
        if kind == "faulty":
            self.faulty.add(key)
        append(self.state / f"{self.stage}.{kind}", key)

    def wants(self, key: str) -> bool:
        """False if an item is done, or brought down a process that ran it."""
        return key not in self.finished and self.only in ("", key)

    def is_faulty(self, key: str) -> bool:
        """True if an item failed, or was wrong."""
        return key in self.faulty

    @property
    def current(self) -> Path:
        """The file with the item that is running."""
        return self.state / f"{self.stage}.current"

    def log(self, text: str) -> None:
        line = f"{time.monotonic() - self.start:7.2f} s  {self.stage}: {text}"
        append(self.out / "log.txt", line)
        print(line, file=sys.stderr, flush=True)

    def row(self, file: str, key: str, **content: Any) -> None:
        """Add a row to a file, and count its item as done."""
        stamp = round(time.monotonic() - self.start, 2)
        append(self.out / f"{file}.jsonl", json.dumps({"stage": self.stage, "key": key, "at": stamp, **content}))
        self.add_key("done", key)

    def fault(self, key: str, what: str) -> None:
        """Add a row on an item that failed, and count it as faulty: no process runs it again."""
        verdict = {} if self.stage in TRIALS else {"right": False}
        row = {"stage": self.stage, "key": key, "fault": what[-3000:], **verdict}
        append(self.out / "results.jsonl", json.dumps(row))
        self.add_key("faulty", key)
        self.log(f"FAULT {key}: {what.strip().splitlines()[-1] if what.strip() else 'no message'}")

    @contextmanager
    def item(self, key: str, seconds: float) -> Iterator[None]:
        """Run an item, named in the log before it begins. A failure is a fault of this item.

        After `seconds` the system ends the process, which Python could not do itself inside a call into the driver. If
        CUDA's context is lost, the process ends too; its supervisor starts another that goes on behind the item.
        """
        self.log(f"begin {key}")
        self.current.write_text(key, "utf-8")
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0 if self.only else seconds)  # under a checker, kernels take long
        try:
            yield
        except Exception as error:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.fault(key, traceback.format_exc())
            if is_context_lost(error, self.probe):
                self.current.write_text("", "utf-8")
                os._exit(STICKY)  # destructors would call into the lost context
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.current.write_text("", "utf-8")


def is_context_lost(error: Exception, probe: Callable[[], object]) -> bool:
    """True after an error of CUDA behind which this process cannot go on; running out of memory is none."""
    if isinstance(error, CudaError) and error.code in LOST_CONTEXT:
        return True
    if not isinstance(error, CudaError | torch.OutOfMemoryError) and "CUDA error" in str(error):
        return True
    try:
        probe()
    except Exception:
        return True
    return False


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file of JSON lines; a line cut off by the end of its process is left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def run_limited(command: Sequence[str], seconds: float) -> str:
    """What a command prints; it and its children are ended after `seconds`."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, start_new_session=True, **both) as process:  # type: ignore[call-overload]
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
    return str(said)
