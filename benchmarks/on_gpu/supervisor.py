"""Runs the stages of a call in processes of their own, each with a budget, and goes on behind what brings one down."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .journal import REFERENCE, STICKY, Journal
from .memory_check import check_memory
from .session import Again, Session, StageRun, TimeUp

MOST_RESTARTS = 12  # of one stage: more faults than these mean that the rest is not worth the time
MOST_MEMORY_CHECKS = 1  # beside the stages; a second call makes more of them
GRACE = 2.0  # seconds that the item which is running at a deadline may still take


@dataclass(frozen=True)
class Stage:
    """A stage: what it runs, and its budget in seconds.

    `launches`: it launches kernels itself, in a dry run on a stand-in. `on_fault`: a memory checker is run on an item
    that failed.
    """

    name: str
    run: Callable[[StageRun], None]
    seconds: float
    launches: bool = False
    on_fault: bool = False


class Supervisor:
    """The process that runs a call. It never uses CUDA, which would not survive its forks."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.background = list[multiprocessing.process.BaseProcess]()
        self.memory_checks = 0

    def journal(self, stage: str) -> Journal:
        return Journal(self.session.out, self.session.state, stage, self.session.start)

    def start_background(self, name: str, run: Callable[[StageRun], None], launches: bool, nice: int = 0) -> None:
        """Start a process that works beside the stages until the call ends."""
        stage = Stage(name, run, self.session.time_left(), launches)
        self.background.append(self.start(stage, self.session.deadline, nice))

    def run(self, stage: Stage) -> str:
        """Run a stage to its end, or to the end of its budget. Returns how it ended."""
        journal, begun = self.journal(stage.name), time.monotonic()
        deadline = min(begun + stage.seconds, self.session.deadline)
        journal.log(f"stage begins, {max(0, deadline - begun):.0f} s")
        state, restarts = "not started: no time was left", 0
        while restarts < MOST_RESTARTS and deadline - time.monotonic() >= 1:
            state = self.run_once(stage, deadline)
            if state in ("done", "time is up"):
                break
            restarts += state != "again"
        journal = self.journal(stage.name)  # with the keys that the processes added
        journal.log(f"stage ends: {state}")
        journal.row("results", f"end of {stage.name}", state=state, seconds=round(time.monotonic() - begun, 1))
        return state

    def run_once(self, stage: Stage, deadline: float) -> str:
        process = self.start(stage, deadline)
        process.join(max(0.0, deadline - time.monotonic()) + GRACE)  # it looks at the deadline itself, between items
        if process.is_alive():
            kill(process)
            return "time is up"
        kill(process)  # what is left of its children
        expected = {0: "done", TimeUp.exit_code: "time is up", Again.exit_code: "again"}
        if process.exitcode in expected:
            return expected[process.exitcode]
        self.record_fault(stage, process.exitcode or 0, deadline)
        return f"ended with {process.exitcode}"

    def record_fault(self, stage: Stage, code: int, deadline: float) -> None:
        """Count the item that a process ended in as faulty, unless the process has done so."""
        journal = self.journal(stage.name)
        key = journal.current.read_text("utf-8") if journal.current.exists() else ""
        if key:
            hung = "it did not end in time" if code == -signal.SIGALRM else f"the process ended with {code}"
            journal.fault(key, hung)
        elif code == STICKY:
            key = (journal.read_keys("faulty") or [""])[-1]
        if key and stage.on_fault and self.memory_checks < MOST_MEMORY_CHECKS:
            self.memory_checks += 1
            check_memory(self.session, journal, key.removesuffix(REFERENCE), deadline)

    def start(self, stage: Stage, deadline: float, nice: int = 0) -> multiprocessing.process.BaseProcess:
        """Start a fork, so that torch is imported only once."""
        arguments = (self.session, stage, deadline, nice)
        process = multiprocessing.get_context("fork").Process(target=run_stage, args=arguments)
        process.start()
        return process

    def stop_background(self) -> None:
        for process in self.background:
            if process.is_alive():
                kill(process)


def run_stage(session: Session, stage: Stage, deadline: float, nice: int) -> None:
    """The process of a stage."""
    os.setsid()
    os.nice(nice)
    run = session.begin(stage.name, stage.launches, deadline)
    try:
        stage.run(run)
    except (TimeUp, Again) as end:
        os._exit(end.exit_code)
    except Exception:
        run.journal.fault(f"stage {stage.name}", traceback.format_exc())
        os._exit(0)
    os._exit(0)  # no destructors: the driver releases everything


def kill(process: multiprocessing.process.BaseProcess) -> None:
    """End a process and its children, without waiting for one that the driver does not let go."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.kill()
    process.join(5)
