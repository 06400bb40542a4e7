"""The timings of `cortado profile`: time, operations and memory traffic of each step, and the machine's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..compiler.cost import flops, traffic
from ..compiler.ir import Node
from ..compiler.plan import PlannedGraph
from ..compiler.storage import resolve_storage
from ..compiler.text import parse_planned
from ..runtime.artifact import Artifact, Plan
from ..runtime.feed import Spec
from ..runtime.profile import Profile
from ..runtime.roofline import Roofline
from .screen import align_right, format_count

BUSY_RATIO = 1.5  # a median above this multiple of the best time shows that the machine was busy
COLUMN_TITLES = ("ms", "share", "MFLOP", "GFLOP/s", "of best", "MB", "GB/s", "of copy")


@dataclass(frozen=True, slots=True)
class Measurement:
    """Seconds of the best run, and the median of all; operations and bytes, as defined in `compiler/cost.py`.

    Rates and shares use the best run, as the roofline does: other work on the machine only adds to a time.
    """

    seconds: float
    median: float
    flops: int
    bytes: int

    def rates(self, roofline: Roofline) -> dict[str, float | None]:
        """GFLOP/s and GB/s, and each as a fraction of the roofline; None where the step has no operations or bytes."""
        gflops, gbytes = (self.rate(count) for count in (self.flops, self.bytes))
        return {
            "gflops": gflops,
            "of_best": gflops and gflops * 1e9 / roofline.flops,
            "gbytes": gbytes,
            "of_copy": gbytes and gbytes * 1e9 / roofline.memory_bandwidth,
        }

    def rate(self, count: int) -> float | None:
        return count / self.seconds / 1e9 if count and self.seconds else None


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step: the name and type of its first result, its primitive, its kernel."""

    name: str
    primitive: str
    kernel: str
    result: str
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Timings:
    """All steps in plan order, and whole runs, timed without timing their steps.

    `random_names` lists what was random: names of inputs, and "weights".
    """

    plan: Plan
    random_names: tuple[str, ...]
    threads: int
    repeat: int
    roofline: Roofline
    steps: tuple[TimedStep, ...]
    run: float
    median_run: float

    @property
    def total(self) -> Measurement:
        return sum_measurements(step.measurement for step in self.steps)

    def primitive_totals(self) -> list[tuple[str, int, Measurement]]:
        """Each primitive with its number of steps and their sum, in descending order of time."""
        names = dict.fromkeys(step.primitive for step in self.steps)
        groups = {name: [step.measurement for step in self.steps if step.primitive == name] for name in names}
        found = [(name, len(group), sum_measurements(group)) for name, group in groups.items()]
        return sorted(found, key=lambda row: -row[2].seconds)

    def share(self, spent: Measurement) -> float:
        """The fraction of the time of all steps."""
        return spent.seconds / whole if (whole := self.total.seconds) else 0.0

    def json(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "net": plan.net,
            "target": plan.target,
            "runner": plan.runner,
            "inputs": self.inputs(),
            "random": list(self.random_names),
            "threads": self.threads,
            "repeat": self.repeat,
            "roofline": {
                "gflops": self.roofline.flops / 1e9,
                "gbytes": self.roofline.memory_bandwidth / 1e9,
                "cached_gbytes": self.roofline.cache_bandwidth / 1e9,
            },
            "steps": [
                {"step": s.name, "primitive": s.primitive, "kernel": s.kernel, "result": s.result}
                | self.measurement_to_dict(s.measurement)
                for s in self.steps
            ],
            "primitives": [
                {"primitive": name, "steps": n} | self.measurement_to_dict(spent)
                for name, n, spent in self.primitive_totals()
            ],
            "total": self.measurement_to_dict(self.total),
            "run": {"seconds": self.run, "median": self.median_run},
        }

    def inputs(self) -> dict[str, str]:
        slots = {name: self.plan.slots[name] for name in self.plan.inputs}
        return {name: str(Spec(slot.dtype, slot.dims)) for name, slot in slots.items()}

    def measurement_to_dict(self, spent: Measurement) -> dict[str, Any]:
        counts = {"flops": spent.flops, "bytes": spent.bytes}
        times = {"seconds": spent.seconds, "median": spent.median, "share": self.share(spent)}
        return times | counts | spent.rates(self.roofline)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A table of the steps and their sum."""
        numbers = [*(self.cells(step.measurement) for step in self.steps), self.cells(self.total)]
        names = [(s.name, s.kernel.rpartition("_")[0]) for s in self.steps]
        heads = [("step", "does"), *names, (format_count(len(self.steps), "step"), "")]
        for head, row in zip(heads, align_right([COLUMN_TITLES, *numbers]), strict=True):
            yield *head, *row

    def primitive_rows(self) -> Iterator[tuple[str, ...]]:
        """A table of the primitives."""
        totals = self.primitive_totals()
        heads = [("primitive", "steps"), *((name, str(count)) for name, count, _ in totals)]
        for head, row in zip(heads, align_right([COLUMN_TITLES, *(self.cells(s) for *_, s in totals)]), strict=True):
            yield *head, *row

    def summary_rows(self) -> Iterator[tuple[str, str]]:
        """Pairs of label and text for the whole net."""
        best, slowed = self.roofline, self.median_run / self.run
        yield "input", ", ".join(f"{name}: {type}" for name, type in self.inputs().items()) or "none"
        if self.random_names:
            yield "random", ", ".join(self.random_names)
        yield "runner", self.plan.runner
        yield "threads", str(self.threads)
        times = f"{self.run * 1e3:.3f} ms at best, {self.median_run * 1e3:.3f} as the median of {self.repeat}"
        yield "a run", times + (": the machine was busy with other work" if slowed > BUSY_RATIO else "")
        yield "best arithmetic", f"{best.flops / 1e9:.0f} GFLOP/s, measured now with an f32 convolution"
        cached = f"{best.cache_bandwidth / 1e9:.0f} GB/s in the caches, which small steps may reach"
        yield "best copy", f"{best.memory_bandwidth / 1e9:.1f} GB/s, measured now in memory; {cached}"

    def cells(self, spent: Measurement) -> tuple[str, ...]:
        rates = spent.rates(self.roofline)
        return (
            f"{spent.seconds * 1e3:.3f}",
            f"{self.share(spent):.1%}",
            f"{spent.flops / 1e6:.2f}" if spent.flops else "",
            format_optional(rates["gflops"], "{:.1f}"),
            format_optional(rates["of_best"], "{:.0%}"),
            f"{spent.bytes / 1e6:.3f}" if spent.bytes else "",
            format_optional(rates["gbytes"], "{:.1f}"),
            format_optional(rates["of_copy"], "{:.0%}"),
        )


def format_optional(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def sum_measurements(spent: Iterable[Measurement]) -> Measurement:
    every = list(spent)
    sums: list[Callable[[Measurement], Any]] = [
        lambda s: s.seconds,
        lambda s: s.median,
        lambda s: s.flops,
        lambda s: s.bytes,
    ]
    return Measurement(*(sum(map(of, every)) for of in sums))


def make_timings(artifact: Artifact, profile: Profile, roofline: Roofline, drawn: Sequence[str] = ()) -> Timings:
    """Combine a profile with the costs of the net's text in the artifact, which has a node for each step."""
    planned = parse_planned(artifact.net, f"{artifact.plan.net}.net", artifact.weights)
    costs = compute_costs(planned)
    steps = []
    for step, node, times in zip(artifact.plan.steps, planned.graph.nodes, profile.steps, strict=True):
        spent = Measurement(min(times), median(times), *costs[node])
        steps.append(TimedStep(node.name, step.kind, step.label, str(node.results[0].type), spent))
    return Timings(
        plan=artifact.plan,
        random_names=tuple(drawn),
        threads=profile.threads,
        repeat=len(profile.runs),
        roofline=roofline,
        steps=tuple(steps),
        run=min(profile.runs),
        median_run=median(profile.runs),
    )


def compute_costs(planned: PlannedGraph) -> dict[Node, tuple[int, int]]:
    """For each node, its operations and the bytes that it reads and writes."""
    storages = resolve_storage(planned)
    return {node: (flops(node), traffic(node, planned, storages)) for node in planned.graph.nodes}
