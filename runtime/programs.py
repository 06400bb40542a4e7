"""The programs of a loaded net: one for each set of input shapes, each by the best runner that can have it now."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Thread
from typing import Protocol

from torch import Tensor

from .arena import can_hold
from .artifact import Artifact
from .feed import Spec
from .plan import ArtifactError, Dim, Plan, Shape
from .primitives import LayerFunction, PackedWeights
from .resources import Resources
from .runners import Program, Runner, find_runner
from .threads import ForkSafeLock, torch_threads

InputShapes = Mapping[str, Shape]
Key = tuple[Shape, ...]  # the shapes of all inputs, in the plan's order
CALLS_BEFORE_BUILDING = 8  # of one set of shapes, before code is compiled for it: fewer may have been all


class CompileFunction(Protocol):
    """The callback that compiles a net for other input shapes, since the runtime has no compiler."""

    def __call__(self, source: str, shapes: InputShapes, weights: Mapping[str, Tensor], target: str, /) -> Artifact:
        """`source` is the artifact's, `shapes` those of all inputs, `weights` its tensors by handle."""


@dataclass(slots=True)
class Postponed:
    """A preferred plan for shapes that another runner's program computes until this one is built."""

    artifact: Artifact
    plan: Plan
    runner: Runner
    calls: int = CALLS_BEFORE_BUILDING


class ProgramTable:
    """Programs by input shapes, prepared when they are asked for. Threads may share a table.

    `plan` and `runner` are those for the shapes in the file: the first plan whose runner this machine has, and which it
    can make ready. For other shapes the first runner serves that need not compile code; after some calls, the preferred
    one is made ready by another thread, and takes over.
    """

    def __init__(
        self,
        artifact: Artifact,
        compile: CompileFunction | None,
        layers: Mapping[str, LayerFunction],
        threads: int | None,
    ) -> None:
        self.artifact, self.compile, self.layers, self.threads = artifact, compile, layers, threads
        self.packed_weights = PackedWeights()
        self.lock = ForkSafeLock()
        self.failed: set[str] = set()  # runners that could not make a plan of this net ready
        self.plan, self.runner, first = self.prepare_first()
        self.by_shape: dict[Key, Program] = {key_of(self.plan): first}
        self.postponed: dict[Key, Postponed] = {}

    def prepare(self, artifact: Artifact, plan: Plan, runner: Runner) -> Program:
        """A plan of an artifact, made ready by its runner."""
        return runner.prepare(plan, Resources(artifact.weights, artifact.binaries, self.layers, self.packed_weights))

    def prepare_first(self) -> tuple[Plan, Runner, Program]:
        """The preferred plan, its runner and its program; the next one, with a warning, if that fails."""
        choices = available_plans(self.artifact)
        with torch_threads(self.threads):  # how oneDNN wants its weights depends on it
            for (plan, runner), (_, following) in pairwise(choices):
                try:
                    return plan, runner, self.prepare(self.artifact, plan, runner)
                except ArtifactError as error:
                    self.failed.add(runner.name)
                    warnings.warn(f"net {plan.net!r} runs by {following.name}: {error}", stacklevel=5)
            plan, runner = choices[-1]
            return plan, runner, self.prepare(self.artifact, plan, runner)

    def find(self, shapes: InputShapes) -> Program:
        """The program for these shapes of all inputs, compiled on demand. ValueError if they do not fit the net."""
        key = tuple(shapes[name] for name in self.plan.inputs)
        if (found := self.find_prepared(key)) is not None:
            return found
        for name, shape in shapes.items():
            if len(shape) != len(self.plan.slots[name].dims):
                slots = {name: self.plan.slots[name] for name in self.plan.inputs}
                due = ", ".join(f"{name}: {Spec(slot.dtype, slot.dims)}" for name, slot in slots.items())
                raise ValueError(f"input {name!r} has {len(shape)} dimensions, {list(shape)}; the net takes {due}")
        with self.lock:  # one compiles, the others wait and find it
            found = self.find_prepared(key)
            return self.compile_for(key, shapes) if found is None else found

    def find_prepared(self, key: Key) -> Program | None:
        if (later := self.postponed.get(key)) is not None:
            later.calls -= 1
            if later.calls <= 0 and self.postponed.pop(key, None) is later:
                Thread(target=self.build, args=(key, later), daemon=True).start()
        if key in self.by_shape:
            return self.by_shape[key]
        slots = [self.plan.slots[name] for name in self.plan.inputs]
        if all(map(can_hold, slots, key)):  # sizes that are only known when the net runs
            return next(iter(self.by_shape.values()))
        return None

    def compile_for(self, key: Key, shapes: InputShapes) -> Program:
        """Compile the net for other shapes. ValueError if it cannot be, or if there is nothing to do so."""
        if self.compile is None:
            names = self.plan.inputs
            plans = [program.plan for program in self.by_shape.values()]
            held = "; ".join(describe_shapes(names, [plan.slots[name].dims for name in names]) for plan in plans)
            asked = describe_shapes(names, key)
            raise ValueError(f"this net holds the shapes {held} and was given {asked}; compile it for those too")
        artifact = self.compile(self.artifact.source, dict(shapes), self.artifact.weights, self.plan.target)
        artifact.check()
        if (made := key_of(artifact.plan)) != key or artifact.plan.inputs != self.plan.inputs:
            raise ValueError(f"the net was compiled for {describe_shapes(artifact.plan.inputs, made)} instead")
        choices = [(plan, runner) for plan, runner in available_plans(artifact) if runner.name not in self.failed]
        preferred = choices[0]
        plan, runner = next(((plan, runner) for plan, runner in choices if runner.is_built(plan)), preferred)
        with torch_threads(self.threads):
            self.by_shape[key] = found = self.prepare(artifact, plan, runner)
        if runner is not preferred[1]:
            self.postponed[key] = Postponed(artifact, *preferred)
        return found

    def build(self, key: Key, later: Postponed) -> None:
        """Make a preferred plan ready, while another program serves; it goes on serving if this fails."""
        try:
            self.by_shape[key] = self.prepare(later.artifact, later.plan, later.runner)
        except ArtifactError as error:
            self.failed.add(later.runner.name)
            warnings.warn(f"net {later.plan.net!r} goes on as it is for {list(key)}: {error}", stacklevel=2)


def available_plans(artifact: Artifact) -> list[tuple[Plan, Runner]]:
    """The plans whose runners this machine has, in order, with those. ArtifactError, with reasons, if there is none.

    A plan that stands alone is taken as it is: making it ready says best what is missing.
    """
    pairs = [(plan, find_runner(plan.runner)) for plan in artifact.plans]
    if len(pairs) == 1:
        return pairs
    reasons = [runner.reason_unavailable(plan) for plan, runner in pairs]
    found = [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]
    if not found:
        said = "; ".join(f"{plan.runner}: {reason}" for (plan, _), reason in zip(pairs, reasons, strict=True))
        raise ArtifactError(f"net {artifact.plan.net!r} cannot be run here; {said}")
    return found


def key_of(plan: Plan) -> Key:
    return tuple(plan.slots[name].bounds for name in plan.inputs)


def describe_shapes(names: Sequence[str], shapes: Sequence[Sequence[Dim]]) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, dims))}]" for name, dims in zip(names, shapes, strict=True))
