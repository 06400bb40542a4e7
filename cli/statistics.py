"""The statistics of `cortado show --stats`: sizes of a net after each stage, and launches by target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..compilation import Options, Stages, run_passes
from ..compiler.cost import cost
from ..compiler.errors import CompileError
from ..compiler.plan import PlannedGraph
from ..compiler.targets import target as target_named
from ..driver import NetFile
from ..passes.plan_memory import arena_bound
from .screen import format_count, format_size
from .summary import count_in_place

TARGETS = ("cpu", "cuda")  # whose launches are counted, besides those of the chosen target


@dataclass(frozen=True, slots=True)
class Stage:
    """Counts of the net after a pass.

    `operators`: nodes, a kernel counting as one. `in_place`: values that are aliases or subviews. `parameters`:
    elements of all weights. `flops` and `bytes`: operations and memory traffic of one run, as defined in
    `compiler/cost.py`. `live`: the largest number of bytes of live values at one step. `seconds`: time of the pass.
    """

    name: str
    operators: int
    in_place: int
    parameters: int
    flops: int
    bytes: int
    live: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """All stages; arena and its lower bound in bytes; launches by target, or why a target refuses the net."""

    net: str
    target: str
    stages: tuple[Stage, ...]
    arena: int
    bound: int
    launches: dict[str, dict[str, Any] | str]

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A table of the stages; for a pass that changed nothing, only the time is shown."""
        yield "stage", "operators", "in place", "parameters", "MFLOP", "MB moved", "MB live", "ms"
        before: Stage | None = None
        for s in self.stages:
            changed = before is None or s is self.stages[-1] or stage_numbers(s) != stage_numbers(before)
            shown = (
                f"{s.operators}{format_change(s.operators, before.operators if before else None)}",
                str(s.in_place),
                f"{s.parameters:,}",
                f"{s.flops / 1e6:.1f}",
                f"{s.bytes / 1e6:.2f}",
                f"{s.live / 1e6:.3f}",
            )
            yield s.name, *(shown if changed else ("",) * len(shown)), f"{s.seconds * 1e3:.1f}"
            before = s

    def summary_rows(self) -> Iterator[tuple[str, str]]:
        """Pairs of label and text for the whole net."""
        first, last = self.stages[0], self.stages[-1]
        yield "parameters", f"{last.parameters:,}"
        yield "arithmetic", f"{last.flops / 1e6:,.1f} MFLOP"
        yield "memory traffic", f"{format_size(last.bytes)}, before the passes {format_size(first.bytes)}"
        above = "which is the bound" if self.arena == self.bound else f"the bound is {format_size(self.bound)}"
        yield "arena", f"{format_size(self.arena)}, {above}"
        for target, found in self.launches.items():
            if isinstance(found, str):
                yield f"launches on {target}", f"none: {found}"
                continue
            host = f", and {format_count(found['host'], 'step')} on the host" if found["host"] else ""
            modelled = found.get("modelled_microseconds")
            time = "" if modelled is None else f", {modelled:,.0f} µs on an H100 by a model, not measured"
            yield f"launches on {target}", f"{found['kernels']}{host}{time}"
            yield from ((f"  {node}", reason) for node, reason in found["reasons"].items())


def stage_numbers(stage: Stage) -> tuple[int, ...]:
    return stage.operators, stage.in_place, stage.parameters, stage.flops, stage.bytes, stage.live


def format_change(now: int, before: int | None) -> str:
    return "" if before is None or now == before else f" ({now - before:+})"


def collect_statistics(file: NetFile, stages: Stages, options: Options) -> Statistics:
    """The statistics of a net after all passes."""
    seconds = {"read": file.seconds, **stages.seconds}
    final = stages.final
    return Statistics(
        net=final.graph.name,
        target=options.target,
        stages=tuple(measure_stage(name, planned, seconds[name]) for name, planned in stages.by_name.items()),
        arena=final.plan.arena or 0,
        bound=arena_bound(final),
        launches={t: launches_or_reason(stages, t, options.target) for t in dict.fromkeys((options.target, *TARGETS))},
    )


def measure_stage(name: str, planned: PlannedGraph, seconds: float) -> Stage:
    found = cost(planned)
    live = arena_bound(planned)
    operators = len(planned.graph.nodes)
    return Stage(
        name, operators, count_in_place(planned.plan), found.parameters, found.flops, found.bytes, live, seconds
    )


def launches_or_reason(stages: Stages, target: str, chosen: str) -> dict[str, Any] | str:
    try:
        others = stages if target == chosen else run_passes(stages.by_name["read"], Options(target))
        found = target_named(target).launches(others.final)
    except CompileError as e:
        return e.message
    counts = {"kernels": found.kernels, "host": found.host, "reasons": dict(found.reasons)}
    return counts | ({} if found.microseconds is None else {"modelled_microseconds": found.microseconds})
