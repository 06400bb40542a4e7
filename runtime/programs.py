"""The programs of a loaded net: one for each set of input shapes, each by the best runner that can have it now.

Shapes that the file does not hold are compiled when they are first met, for the runner that needs no machine code of
its own: with bounds for the sizes that differ, so that the next sizes are not compiled at all; or, if a layer has to
know them, for exactly these shapes. Once shapes have been met a few times, another thread compiles for them and the
preferred runner. Programs that were not used for the longest time are dropped, so that a net which meets a new size in
every call keeps its size.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count, pairwise
from typing import Protocol

from torch import Tensor

from .arena import can_hold
from .artifact import Artifact
from .background import start_in_background
from .bounded_sizes import BoundedSizes
from .bounded_sizes import Key as Key
from .plan import ArtifactError, Plan, Shape
from .primitives import LayerFunction, PackedWeights
from .resources import Resources
from .runners import BoundedProgram, Program, Runner, find_runner
from .spec import Dim, Spec, describe_shapes, other_shapes, require_ranks
from .threads import ForkSafeLock, torch_threads

InputShapes = Mapping[str, Shape]
InputDims = tuple[tuple[Dim, ...], ...]  # of all inputs, in the plan's order
CALLS_BEFORE_BUILDING = 8  # of one set of shapes, before code is compiled for it: fewer may have been all
MAX_PROGRAMS = 64  # kept for shapes that the file does not hold
MAX_ARENA_BYTES = 512 << 20  # of their arenas together; the latest one is kept whatever its size


class CompileFunction(Protocol):
    """The callback that compiles a net for other input shapes, since the runtime has no compiler."""

    def __call__(
        self, source: str, shapes: Mapping[str, Sequence[Dim]], weights: Mapping[str, Tensor], target: str, /
    ) -> Artifact:
        """`source` is the artifact's, `weights` its tensors by handle. ValueError if the net cannot be compiled so.

        `shapes` are those of all inputs; "?8" is a size that is known when the net runs, at most 8.
        """


class ProgramTable:
    """Programs by input shapes, prepared when they are asked for. Threads may share a table.

    `plan` and `runner` are those for the shapes in the file: the first plan whose runner this machine has, and which it
    can make ready. For other shapes, the runner that needs no machine code serves first; after some calls, another
    thread compiles for `preferred`, and that program takes over. `preferred` is the target of the file, unless the
    caller names another one: then it takes over for the file's shapes, too. `bounded` is the program for all sizes up
    to some, if there is one.
    """

    def __init__(
        self,
        artifact: Artifact,
        compile: CompileFunction | None,
        layers: Mapping[str, LayerFunction],
        threads: int | None,
        preferred: str | None = None,
        packed_weights: PackedWeights | None = None,
    ) -> None:
        self.artifact, self.compile, self.layers, self.threads = artifact, compile, layers, threads
        self.packed_weights = PackedWeights() if packed_weights is None else packed_weights
        self.lock = ForkSafeLock()
        self.failed: set[str] = set()  # runners that could not make a plan of this net ready
        self.plan, self.runner, first = self.prepare_first()
        self.target = preferred or self.plan.target
        self.first_key = key_of(self.plan)
        self.by_shape: dict[Key, Program] = {self.first_key: first}
        self.calls_left: dict[Key, int] = {}  # before a program of the preferred runner is built
        if self.target != self.plan.target:
            self.calls_left[self.first_key] = CALLS_BEFORE_BUILDING
        self.clock, self.last_use = count(), dict[Key, int]()
        self.sizes = BoundedSizes(self.first_key)
        self.bounded: BoundedProgram | None = None

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
        require_ranks(input_specs(self.plan), shapes)
        with self.lock:  # one compiles, the others wait and find it
            found = self.find_prepared(key)
            return self.compile_for(key) if found is None else found

    def is_ready_for(self, shapes: InputShapes) -> bool:
        """True if nothing has to be compiled for these shapes, which need not be those of all inputs."""
        key = tuple(shapes.get(name, ()) for name in self.plan.inputs)
        if key in self.by_shape or holds(self.plan, key):
            return True
        with self.lock:
            found = self.bounded_for(key)
            return found is not None and self.add(key, found) is found

    def bounded_for(self, key: Key) -> Program | None:
        """The bounded program, if it takes these shapes."""
        if self.bounded is None or not holds(self.bounded.plan, key):
            return None
        try:
            self.bounded.check_shapes(dict(zip(self.plan.inputs, key, strict=True)))
        except ValueError:
            return None
        return self.bounded

    def find_prepared(self, key: Key) -> Program | None:
        if (left := self.calls_left.get(key)) is not None:
            self.calls_left[key] = left - 1
            if left <= 1 and self.calls_left.pop(key, None) is not None:
                start_in_background(partial(self.build, key))
        if (found := self.by_shape.get(key)) is not None:
            self.last_use[key] = next(self.clock)
            return found
        return self.by_shape[self.first_key] if holds(self.plan, key) else None

    def compile_for(self, key: Key) -> Program:
        """A program for other shapes. ValueError if the net cannot be compiled for them, or there is no compiler."""
        if self.compile is None:
            names = self.plan.inputs
            plans = [program.plan for program in self.by_shape.values()]
            raise other_shapes(names, [[plan.slots[name].dims for name in names] for plan in plans], key)
        last = self.artifact.plans[-1].runner  # of several it is the one that compiles no code
        target = last if len(self.artifact.plans) > 1 else self.plan.target
        bounded = self.find_bounded(key, target) if find_runner(last).runs_bounded_sizes else None
        return self.add(key, self.compile_program(key, target) if bounded is None else bounded)

    def add(self, key: Key, program: Program) -> Program:
        """Enter a program for other shapes; a better one is built after some calls, if there can be one."""
        self.by_shape[key], self.last_use[key] = program, next(self.clock)
        if program is self.bounded or self.target != self.plan.target or self.runner.name != program.plan.runner:
            self.calls_left[key] = CALLS_BEFORE_BUILDING
        self.drop_unused()
        return program

    def find_bounded(self, key: Key, target: str) -> Program | None:
        """The program for all sizes up to some, which takes these too; None if a layer refuses bounds, or these sizes.

        Compiled for larger bounds if these sizes exceed those that it has.
        """
        if self.bounded is None or not holds(self.bounded.plan, key):
            dims = self.sizes.propose(key)
            if dims is None:
                return None
            made: Program | None = None
            with suppress(ValueError):
                made = self.compile_program(dims, target)
            if not isinstance(made, BoundedProgram) or made.plan.arena > MAX_ARENA_BYTES:
                self.sizes.reject(key)
                return None
            self.sizes.accept(key)
            former, self.bounded = self.bounded, made
            self.by_shape.update({k: made for k, program in self.by_shape.items() if program is former})
        return self.bounded_for(key)  # compiling says what is wrong with others, and where

    def compile_program(self, dims: InputDims, target: str) -> Program:
        """The program for these dimensions by the best runner for a target that this machine has."""
        assert self.compile is not None
        shapes = dict(zip(self.plan.inputs, dims, strict=True))
        artifact = self.compile(self.artifact.source, shapes, self.artifact.weights, target)
        artifact.check()
        made = tuple(artifact.plan.slots[name].dims for name in artifact.plan.inputs)
        if made != dims or artifact.plan.inputs != self.plan.inputs:
            raise ValueError(f"the net was compiled for {describe_shapes(artifact.plan.inputs, made)} instead")
        plan, runner = next((p, r) for p, r in available_plans(artifact) if r.name not in self.failed)
        try:
            with torch_threads(self.threads):
                return self.prepare(artifact, plan, runner)
        except ArtifactError:
            if dims == key_of(plan):  # that a plan with bounds fails says nothing of others
                self.failed.add(runner.name)
            raise

    def build(self, key: Key) -> None:
        """Compile for the preferred target, while another program serves; it goes on serving if this fails."""
        try:
            made = self.compile_program(key, self.target)
        except ValueError as error:
            warnings.warn(f"net {self.plan.net!r} goes on as it is for {list(key)}: {error}", stacklevel=2)
            return
        with self.lock:
            if key in self.by_shape:  # otherwise it was dropped meanwhile
                self.by_shape[key] = made

    def drop_unused(self) -> None:
        """Drop the programs that were not used for the longest time, beyond the limits."""
        others = sorted((key for key in self.by_shape if key != self.first_key), key=lambda key: -self.last_use[key])
        held = 0
        for i, key in enumerate(others):
            held += 0 if self.by_shape[key] is self.bounded else self.by_shape[key].plan.arena
            if i and (i >= MAX_PROGRAMS or held > MAX_ARENA_BYTES):
                del self.by_shape[key], self.last_use[key]
                self.calls_left.pop(key, None)


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


def holds(plan: Plan, key: Key) -> bool:
    """True if the plan is for these shapes of its inputs: equal ones, or within its bounds."""
    return all(map(can_hold, (plan.slots[name] for name in plan.inputs), key))


def key_of(plan: Plan) -> Key:
    return tuple(plan.slots[name].bounds for name in plan.inputs)


def input_specs(plan: Plan) -> dict[str, Spec]:
    """The inputs of a plan."""
    return {name: Spec(plan.slots[name].dtype, plan.slots[name].dims) for name in plan.inputs}
