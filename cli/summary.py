"""What a compilation made of a net, in numbers: for the table that people read, and for machines as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ..compiler.plan import Alias, MemoryPlan, Subview
from ..driver import Compilation
from ..passes.plan_memory import arena_bound
from ..runtime.feed import Spec
from .pictures import describe_preprocessing
from .screen import format_count, format_size

REMOVAL_VERBS = {"remove_dropout": "dropped", "fold_batchnorm": "folded", "fuse": "fused"}


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a compilation.

    `layers` are those of the file. `removed` says by pass how many operators it took away: dropped, folded into
    weights, fused into another's kernel. `in_place` counts values without bytes of their own: written over an operand,
    or made where a concat wants them. `kernels` are the different ones among `steps`. `arena`, `bound` (the most bytes
    that live at one step) and `weights` are bytes, `seconds` by stage. `preprocessing` says in words, by input, how
    pictures become it.
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
    warnings: tuple[str, ...]
    seconds: dict[str, float]

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> Iterator[tuple[str, str]]:
        """For people: a word, and what there is to say about it."""
        removed = [f"{count} {REMOVAL_VERBS.get(name, f'gone by {name}')}" for name, count in self.removed.items()]
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
        passes = sum(self.seconds.values()) - self.seconds["read"] - self.seconds["build"]
        times = f"read {self.seconds['read']:.3f}, passes {passes:.3f}, build {self.seconds['build']:.3f}"
        yield "time", f"{sum(self.seconds.values()):.3f} s: {times}"


def summarize(compilation: Compilation) -> Summary:
    """Of a compilation that has just ended."""
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
        warnings=compilation.file.warnings,
        seconds=dict(compilation.seconds),
    )


def count_in_place(plan: MemoryPlan) -> int:
    """Values that have no bytes of their own."""
    return sum(isinstance(p, Alias | Subview) for p in plan.placements.values())
