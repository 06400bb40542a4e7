"""A call as its processes see it: cases, folders, machines, and the time that is left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cortado.compiler.ir import Graph
from cortado.compiler.plan import PlannedGraph
from cortado.runtime.artifact import Artifact, read

from .journal import Journal
from .machine import Machine, select_machine
from .nets import BenchmarkCase, case_of
from .steps import StepRunner

LOAD_SECONDS = 30.0
RESERVE = 0.5  # seconds before the deadline at which nothing new begins


class TimeUp(Exception):
    """A stage's budget is spent."""

    exit_code = 8


class Again(Exception):
    """The stage goes on in a new process."""

    exit_code = 7


@dataclass(frozen=True)
class Session:
    """One call. `start` and `deadline` are times of time.monotonic(); `only`: the one item that is run, if any."""

    cases: list[BenchmarkCase]
    out: Path
    work: Path
    start: float
    deadline: float
    dry: bool = False
    candidates: int = 12
    only: str = ""

    @property
    def state(self) -> Path:
        return self.work / "state"

    def time_left(self) -> float:
        return self.deadline - time.monotonic()

    def command_for(self, stage: str, key: str) -> list[str]:
        """The arguments that make Python run one item of one stage alone."""
        script = str(Path(__file__).resolve().parents[1] / "gpu.py")
        case = case_of(key) or self.cases[0]
        chosen = ["--nets", case.net, "--batches", str(case.batch), "--dtypes", case.dtype, *["--dry"] * self.dry]
        folders = ["--out", str(self.work / "one"), "--work", str(self.work)]
        return [script, *chosen, *folders, "--stages", stage, "--only", key]

    def begin(self, stage: str, launches: bool, deadline: float) -> StageRun:
        if self.dry:
            torch.set_num_threads(1)
        state = self.work / "state-of-one" if self.only else self.state
        machine = select_machine(self.dry, launches, self.work)
        journal = Journal(self.out, state, stage, self.start, self.only, machine.synchronize)
        return StageRun(self, journal, machine, deadline)


@dataclass
class StageRun:
    """A stage that is running: its machine, its journal, and its deadline."""

    session: Session
    journal: Journal
    machine: Machine
    deadline: float

    @property
    def work(self) -> Path:
        return self.session.work

    def time_left(self) -> float:
        return self.deadline - time.monotonic()

    def require_time(self, seconds: float = RESERVE) -> None:
        """TimeUp unless so many seconds are left."""
        if self.time_left() < seconds:
            raise TimeUp

    def cases(self) -> Iterator[BenchmarkCase]:
        """The cases in order, each once its compiled net is there; those that could not be compiled are left out."""
        for case in self.session.cases:
            is_asked = not self.session.only or self.session.only.startswith((f"{case.name}/", f"{case.name} "))
            if is_asked and self.wait_for(case):
                yield case

    def wait_for(self, case: BenchmarkCase) -> bool:
        """Wait until a case is compiled. False if it cannot be."""
        return self.wait_for_files(self.files(case))

    def wait_for_files(self, files: CaseFiles) -> bool:
        while not files.artifact.exists():
            if files.failed.exists():
                return False
            self.require_time()
            time.sleep(0.05)
        return True

    def files(self, case: BenchmarkCase) -> CaseFiles:
        return CaseFiles(self.work, case, self.machine.target(case.dtype))

    def artifact(self, case: BenchmarkCase) -> Artifact:
        return self.files(case).read_artifact()

    def load_steps(self, case: BenchmarkCase) -> list[StepRunner]:
        """The steps of a compiled net; if the net cannot be loaded, each step that can, alone. A fault is recorded."""
        artifact, key = self.artifact(case), f"{case.name} loads"
        runners: list[StepRunner] = []
        if not self.journal.is_faulty(key):
            with self.journal.item(key, LOAD_SECONDS):
                runners.append(self.machine.make_steps(artifact))
        if not self.journal.is_faulty(key):
            return runners
        for number, step in enumerate(artifact.plan.steps):
            alone = replace(artifact, plans=(replace(artifact.plan, steps=(step,)),))
            key = f"{case.name}/{number:03} {step.label} loads"
            if not self.journal.is_faulty(key):
                with self.journal.item(key, LOAD_SECONDS):
                    runners.append(self.machine.make_steps(alone))
        return runners

    def graphs(self, case: BenchmarkCase) -> tuple[Graph, PlannedGraph]:
        """The net before any pass, and after all of them."""
        plain, final = load_graphs(self.files(case).graphs)
        return plain, final


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case for a target: the compiled net, its graphs, and why it could not be compiled."""

    folder: Path
    case: BenchmarkCase
    target: str

    def file(self, suffix: str) -> Path:
        return self.folder / f"{self.case.name}.{self.target}.{suffix}"

    @property
    def artifact(self) -> Path:
        return self.file("cortado")

    def read_artifact(self) -> Artifact:
        return read(self.artifact)

    @property
    def graphs(self) -> Path:
        return self.file("graphs")

    @property
    def failed(self) -> Path:
        return self.file("failed")


def load_graphs(path: Path) -> tuple[Graph, PlannedGraph]:
    """Graphs that `save_graphs` wrote, with weights mapped from the file."""
    plain, final = torch.load(path, mmap=True, weights_only=False)
    return plain, final


def save_graphs(path: Path, plain: Graph, final: PlannedGraph) -> None:
    """Write graphs for other processes of the same call: they are pickled, so never read a file from elsewhere."""
    sys.setrecursionlimit(100_000)  # a graph is a chain of nodes
    part = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save((plain, final), part)
    part.rename(path)
