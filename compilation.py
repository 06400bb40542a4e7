"""From a graph to an artifact: the passes, for each target that was asked for, and the build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import torch

from . import passes as all_passes
from .compiler.build import build, combine
from .compiler.errors import Unsupported
from .compiler.ir import Graph
from .compiler.plan import PlannedGraph
from .compiler.targets import target as target_named
from .compiler.targets import targets as targets_named
from .passes import REQUIRED, SHAPE_FREE, Context, Note, Pass, PassFailed, pipeline
from .passes.reproducer import write_reproducer
from .runtime.artifact import Artifact, Preprocessing
from .version import VERSION


@dataclass(frozen=True)
class Options:
    """How to read and compile a net; `cortado.compile` documents each field."""

    target: str = "cpu"
    shapes: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    optimize: bool = True
    phase: str = "TEST"
    level: int = 0
    stages: Sequence[str] = ()
    lenient: bool = False
    dialects: Sequence[str] = ()
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    fold_preprocessing: bool = False
    start_at: Sequence[str] = ()
    proto: str | Path | None = None

    @property
    def passes(self) -> tuple[Pass, ...]:
        return pipeline() if self.optimize else REQUIRED


@dataclass(frozen=True)
class Stages:
    """The net as it was read ("read") and after each pass, by name; the passes' notes; seconds by stage."""

    by_name: dict[str, PlannedGraph]
    notes: tuple[Note, ...]
    seconds: Mapping[str, float]

    @property
    def final(self) -> PlannedGraph:
        return next(reversed(self.by_name.values()))


def build_for_targets(planned: PlannedGraph, stages: Stages, options: Options) -> Artifact:
    """The artifact, with a plan for each target of the name asked for; `stages` are those for the first.

    The passes that do not depend on shapes ask nothing of a target, and are not run again.
    """
    first, *others = choose_targets(options.target, planned.graph)
    source, rest = planned, options.passes
    if options.optimize:
        last = SHAPE_FREE[-1].__name__
        source, rest = stages.by_name[last], passes_after(last)
    artifacts = [build(stages.final, source.graph, first, versions())]
    for other in others:
        final = run_passes(source, replace(options, target=other), rest).final
        with suppress(Unsupported):  # a dump may hold kernels that only the first has
            artifacts.append(build(final, source.graph, other, versions()))
    return combine(artifacts, options.target)


def passes_after(name: str) -> tuple[Pass, ...]:
    """The passes of the pipeline behind one."""
    return pipeline()[[p.__name__ for p in pipeline()].index(name) + 1 :]


def choose_targets(name: str, graph: Graph) -> list[str]:
    """The names of the targets that compile a graph, the preferred one first: those of a group that are fit for it."""
    found = targets_named(name)
    fit = [t.name for t in found if t.reason_unfit(graph) is None]
    return fit if len(found) > 1 and fit else [found[0].name]


def run_passes(planned: PlannedGraph, options: Options, passes: Sequence[Pass] | None = None) -> Stages:
    """Run these passes (None: the whole pipeline). Returns the net after each of them.

    PassFailed if one fails; a reproducer is then written to its `folder`.
    """
    by_name, seconds, clock, notes = {"read": planned}, dict[str, float](), [perf_counter()], list[Note]()

    def record_stage(name: str, after: PlannedGraph) -> None:
        by_name[name] = after
        seconds[name] = perf_counter() - clock[0]
        clock[0] = perf_counter()

    try:
        context = Context(target_named(options.target), notes)
        all_passes.run(
            planned.graph, context, pipeline() if passes is None else passes, record_stage, plan=planned.plan
        )
    except PassFailed as e:
        with suppress(OSError):  # which would hide the failure of the pass
            e.folder = str(write_reproducer(e, options.target, VERSION))
        raise
    return Stages(by_name, tuple(notes), seconds)


def versions() -> dict[str, str]:
    return {"cortado": VERSION, "torch": torch.__version__}
