"""Runs one net through passes in some order for some target, and checks it after each.

After each pass: `verify` accepts the graph; its text reads back and prints itself again; its results, in float64, are
those of the original net; and so are those of a memory plan in a poisoned run. At the end: a second run of the passes
changes nothing; and the artifact, run twice by the runtime, gives the same results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from cortado import passes as all_passes
from cortado.compiler.build import build
from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.plan import MemoryPlan, Offset, PlannedGraph
from cortado.compiler.poison import run_poisoned
from cortado.compiler.target import Target
from cortado.compiler.targets import TARGETS
from cortado.compiler.text import parse_planned, show
from cortado.compiler.text.weights import weights_by_handle
from cortado.compiler.types import DTYPES
from cortado.compiler.verify import verify
from cortado.passes import PIPELINE, REQUIRED, Context, apply
from cortado.passes.eliminate_dead_code import eliminate_dead_code
from cortado.passes.plan_memory import assign_offsets, root_live_ranges, root_sizes
from cortado.passes.simplify import simplify
from cortado.runtime import Net

from .numbers import fill_weights, make_inputs
from .reference import Inputs, ReferenceResults, compute_reference, evaluate, require_float32, round_to_f16

PIPELINE_NAMES = tuple(p.__name__ for p in PIPELINE)
REQUIRED_NAMES = tuple(p.__name__ for p in REQUIRED)
TARGET_NAMES = (Target.name, *(name for name in TARGETS if not name.endswith("-pdl")))  # passes see no difference


@dataclass(frozen=True)
class Trial:
    """The names of passes and target, and whether the runtime runs the artifact."""

    target: str
    passes: tuple[str, ...]
    run: bool = False
    again: bool = False  # the passes are run again on their own result
    special: bool = False  # NaN and infinities are among the inputs

    def __str__(self) -> str:
        named = {PIPELINE_NAMES: "the whole pipeline", REQUIRED_NAMES: "what is required"}.get(
            self.passes, ", ".join(self.passes)
        )
        given = " of NaN and infinities" if self.special else ""
        return f"{named} for {self.target}{' and run' if self.run else ''}{given}"


@dataclass(frozen=True)
class Failure:
    """The kind of a failure, the pass after which it was found, and a sentence."""

    trial: Trial
    kind: str  # pass, verify, text, numbers, poison, again, artifact
    after: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind} after {self.after or 'nothing'}: {self.sentence}\n    in {self.trial}"

    @property
    def category(self) -> tuple[str, str, str]:
        """A key that is equal for failures that probably have the same cause."""
        return self.kind, self.after, self.sentence.split(":")[0] if self.kind == "pass" else ""


class CheckFailed(Exception):
    def __init__(self, kind: str, sentence: str) -> None:
        self.kind, self.sentence = kind, sentence


class NetUnderTrial:
    """A net with its data and reference results, and the texts that were checked already, each once."""

    def __init__(self, planned: PlannedGraph, special: bool = False) -> None:
        self.graph = fill_weights(planned.graph)
        self.planned = PlannedGraph(self.graph, planned.plan)
        self.is_special, self.inputs = special, make_inputs(self.graph, special)
        self.reference = compute_reference(self.graph, self.inputs)
        self.proved: dict[str, PlannedGraph] = {}  # the parsed net by its text
        self.is_idempotence_expected = is_idempotence_expected(self.graph) and not planned.plan

    @cached_property
    def with_special_inputs(self) -> NetUnderTrial | None:
        """The net with NaN and infinities among its inputs.

        None where no float32 could hold what comes of them, or sizes that depend on them are too small for a window.
        """
        try:
            graph = fill_weights(self.planned.graph, late=True)
            evaluate(graph, make_inputs(graph, special=True), require_float32)
            return NetUnderTrial(self.planned, special=True)
        except (ValueError, OverflowError, RuntimeError):  # a mask of -1 names no place; torch has no such window
            return None

    def find_failure(self, trial: Trial) -> Failure | None:
        """Run the trial. Returns the first failure, or None."""
        if trial.special != self.is_special:
            special = self.with_special_inputs
            return special.find_failure(trial) if special is not None else None
        after = ""
        try:
            self.prove(self.planned, self.reference)
            planned, expected, target = self.planned, self.reference, target_of(trial.target)
            for after in trial.passes:
                before, planned = planned, apply_pass(planned, after, target)
                expected = self.expected_after(before.graph, planned.graph, expected)
                self.prove(planned, expected)
            after = f"{after}, at the end"
            if trial.again and (self.is_idempotence_expected or target.dtype is None):  # f16 would be rounded again
                if not self.is_idempotence_expected:
                    planned = apply_passes(self.proved[show(*planned)], trial, target)
                    self.prove(planned, expected)
                text = show(*planned)
                if (again := show(*apply_passes(self.proved[text], trial, target))) != text:
                    raise CheckFailed("again", f"a second run changes the net: {first_difference(text, again)}")
            if trial.run:
                self.run(planned, trial.target, expected)
        except CheckFailed as e:
            return Failure(trial, e.kind, after, e.sentence)
        return None

    def expected_after(self, before: Graph, after: Graph, expected: ReferenceResults) -> ReferenceResults:
        """The results to expect after a pass: the same, or those of the rounded net if the pass converted it to f16."""
        if dtypes(before) == dtypes(after):
            return expected
        inputs = {name: round_to_f16(x) for name, x in self.inputs.items()}
        kept = compute_reference(round_weights(fill_weights(before, late=True), after), inputs)
        found = compute_reference(after, inputs)
        if difference := kept.describe_difference(found.results, [name for name, _ in after.returns]):
            raise CheckFailed("numbers", f"rounded, {difference}")
        return found

    def inputs_for(self, graph: Graph) -> Inputs:
        return {v.name: self.inputs[v.name].to(DTYPES[v.type.dtype]) for v in graph.inputs}

    def prove(self, planned: PlannedGraph, expected: ReferenceResults) -> None:
        graph, text = planned.graph, show(*planned)
        if text in self.proved:
            return
        again = run_checked("text", lambda: parse_planned(text, "dump.net", weights_by_handle(graph)))
        if (printed := show(*again)) != text:
            raise CheckFailed("text", f"the parsed text prints differently: {first_difference(text, printed)}")
        run_checked("verify", lambda: verify(*planned))
        if [name for name, _ in graph.returns] != [name for name, _ in self.graph.returns]:
            raise CheckFailed("numbers", "the names of the outputs differ")
        names, inputs = [name for name, _ in graph.returns], self.inputs_for(graph)
        found = run_checked("numbers", lambda: compute_reference(again.graph, inputs).results)
        if difference := expected.describe_difference(found, names):
            raise CheckFailed("numbers", difference)
        if all(v.type.is_static for v in graph.values.values()) and has_no_f16(graph):
            bound = PlannedGraph(fill_weights(graph, late=True), planned.plan)
            final = run_checked("poison", lambda: bound if bound.plan.arena is not None else plan_tightly(bound))
            found = run_checked("poison", lambda: run_poisoned(final, *inputs.values()))
            if difference := expected.describe_difference(found, names):
                raise CheckFailed("poison", difference)
        self.proved[text] = again

    def run(self, planned: PlannedGraph, target: str, expected: ReferenceResults) -> None:
        """Run the artifact twice, the second time in an arena with the data of the first run."""
        graph = planned.graph
        bound = PlannedGraph(fill_weights(graph, late=True), planned.plan)
        net = run_checked(
            "artifact", lambda: Net.from_artifact(build(bound, fill_weights(self.graph, late=True), target))
        )
        for _ in range(2):
            results: dict[str, Any] = run_checked("artifact", lambda: net(self.inputs_for(graph)))
            found = [torch.as_tensor(results[name]).cpu() for name, _ in graph.returns]
            if difference := expected.describe_difference(found, list(results)):
                raise CheckFailed("artifact", difference)


def plan_tightly(planned: PlannedGraph) -> PlannedGraph:
    """A tight plan, by the first of the orders that `plan_memory` tries."""
    graph, plan = planned
    spans = root_live_ranges(planned)
    sizes = root_sizes(plan, spans)
    at = assign_offsets(spans, sizes, sorted(spans, key=lambda v: -sizes[v]))
    arena = max((at[v] + sizes[v] for v in at), default=0)
    whole = MemoryPlan({**plan.placements, **{v: Offset(start) for v, start in at.items()}}, arena, plan.halos)
    verify(graph, whole)
    return PlannedGraph(graph, whole)


def run_checked(kind: str, work: Any) -> Any:
    """The result of `work`. CheckFailed for any exception."""
    try:
        return work()
    except CheckFailed:
        raise
    except Exception as e:
        raise CheckFailed(kind, f"{type(e).__name__}: {e}") from e


def apply_pass(planned: PlannedGraph, name: str, target: Target) -> PlannedGraph:
    made: PlannedGraph = run_checked("pass", lambda: apply(getattr(all_passes, name), planned, Context(target)))
    return made


def apply_passes(planned: PlannedGraph, trial: Trial, target: Target) -> PlannedGraph:
    for name in trial.passes:
        planned = apply_pass(planned, name, target)
    return planned


def is_idempotence_expected(graph: Graph) -> bool:
    """True if a second run of the passes must change nothing.

    Not if a node blocks a match in the first run and is removed in it: a dead node; a shape-only node or an identity
    for these shapes, which `fold_constants` and `simplify` remove after the folding passes, which do not depend on
    shapes.
    """
    still = eliminate_dead_code(graph, Context()) is graph and simplify(graph, Context()) is graph
    return still and not any(n.op.shape_only for n in graph.nodes)


def target_of(name: str) -> Target:
    return TARGETS.get(name) or Target()


def dtypes(graph: Graph) -> set[str]:
    return {v.type.dtype for v in (*graph.inputs, *graph.constants)}


def has_no_f16(graph: Graph) -> bool:
    """True without f16, which is slow in torch on a CPU and rounds too much for a comparison."""
    return all(v.type.dtype != "f16" for v in graph.values.values())


def round_weights(graph: Graph, after: Graph) -> Graph:
    """The net with those weights rounded to f16 that are f16 after the pass."""
    made = {n.name: n for n in after.nodes}

    def read(value: Value, dtype: str) -> Value:
        exact = not isinstance(value, Constant) or (value.type.dtype, dtype) != ("f32", "f16")
        return value if exact else replace(value, data=round_to_f16(value.data))  # type: ignore[attr-defined,call-arg]

    nodes = []
    for node in graph.nodes:
        if node.name in made:
            types = [v.type.dtype for v in made[node.name].inputs]
            node = replace(node, inputs=tuple(map(read, node.inputs, types)))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), returns=tuple((name, read(v, "f16")) for name, v in graph.returns))


def first_difference(a: str, b: str) -> str:
    pairs = zip(a.splitlines(), b.splitlines(), strict=False)
    x, y = next(((x, y) for x, y in pairs if x != y), ("one", "ends before the other"))
    return f"{x.strip()} / {y.strip()}"
