"""The summary of a compilation, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ..compiler.plan import Alias, MemoryPlan, Subview
from ..driver import Compilation
from ..passes.plan_memory import arena_bound
from ..runtime.feed import Spec
from ..runtime.preprocessing import describe_preprocessing
from .screen import format_count, format_size

REMOVAL_VERBS = {"remove_dropout": "removed", "fold_batchnorm": "folded", "fuse": "fused"}


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a compilation.

    `layers` of the file; operators `removed` by each pass; values `in_place`, that is aliases and subviews; `steps` of
    the plan, and distinct `kernels` among them. `arena`, its lower `bound` (the largest number of live bytes at one
    step) and `weights` are in bytes, `seconds` are by stage. `preprocessing` of pictures is in words, by input, and so
    are the `dialects` of layers that forks of Caffe define differently.
    """

    net: str
    target: str
    layers: int
    removed: dict[str, int]
    in_place: int
    steps: int
    kernels: int
    arena: int
    bound: int
    weights: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    preprocessing: dict[str, str]
    dialects: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Pairs of label and text, for people."""
        removed = [f"{count} {REMOVAL_VERBS.get(name, f'removed by {name}')}" for name, count in self.removed.items()]
        yield "layers", ", ".join([f"{self.layers} read", *removed, f"{self.in_place} in place"])
        yield "steps", f"{self.steps}, of {format_count(self.kernels, 'different kernel')}"
        above = (
            "which is the bound"
            if self.arena == self.bound
            else f"{format_size(self.arena - self.bound)} above the bound"
        )
        yield "arena", f"{format_size(self.arena)}, {above}"
        yield "weights", format_size(self.weights)
        yield from (("input", f"{name}: {type}") for name, type in self.inputs.items())
        yield from (("output", f"{name}: {type}") for name, type in self.outputs.items())
        yield from (("picture", f"{name}: {words}") for name, words in self.preprocessing.items())
        yield from (("dialect", words) for words in self.dialects)
        passes = sum(self.seconds.values()) - self.seconds["read"] - self.seconds["build"]
        times = f"read {self.seconds['read']:.3f}, passes {passes:.3f}, build {self.seconds['build']:.3f}"
        yield "time", f"{sum(self.seconds.values()):.3f} s: {times}"


def summarize(compilation: Compilation) -> Summary:
    """The summary of a compilation."""
    artifact, plan = compilation.artifact, compilation.artifact.plan
    stages = compilation.stages.by_name.items()
    removed = {name: len(a.graph.nodes) - len(b.graph.nodes) for (_, a), (name, b) in pairwise(stages)}

    def spec(name: str) -> str:
        known = plan.weights.get(name)
        return str(Spec(known.dtype, known.shape) if known else Spec(plan.slots[name].dtype, plan.slots[name].dims))

    return Summary(
        net=plan.net,
        target=plan.target,
        layers=compilation.file.layers,
        removed={name: count for name, count in removed.items() if count > 0},
        in_place=count_in_place(compilation.plan),
        steps=len(plan.steps),
        kernels=len({s.label for s in plan.steps}),
        arena=plan.arena,
        bound=arena_bound(compilation.stages.final),
        weights=sum(artifact.weights[handle].nbytes for handle in {w.handle for w in plan.weights.values()}),
        inputs={name: spec(name) for name in plan.inputs},
        outputs={blob: spec(name) for blob, name in plan.outputs},
        preprocessing={
            name: describe_preprocessing(form, plan.slots[name].dims) for name, form in artifact.preprocessing.items()
        },
        dialects=tuple(map(str, compilation.file.dialects)),
        warnings=compilation.file.warnings,
        seconds=dict(compilation.seconds),
    )


def count_in_place(plan: MemoryPlan) -> int:
    """The number of values that are aliases or subviews."""
    return sum(isinstance(p, Alias | Subview) for p in plan.placements.values())
