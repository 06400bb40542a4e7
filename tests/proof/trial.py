"""One way through the compiler for one net: passes in some order for some target, everything checked after each.

After each pass: `verify` holds; the text reads back and prints itself again; the numbers, in float64, are those of the
net as it came; and a memory plan for it gives them too, run between poisoned bytes. At the end: the passes, run again,
change nothing; and the artifact, run twice by the runtime, gives the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from cortado import passes as all_passes
from cortado.compiler.build import build
from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.poison import run_poisoned
from cortado.compiler.rewrite import eliminate_dead_code
from cortado.compiler.target import Target
from cortado.compiler.targets import TARGETS
from cortado.compiler.text import parse, show
from cortado.compiler.text.weights import by_handle
from cortado.compiler.types import DTYPES
from cortado.compiler.verify import verify
from cortado.passes import PIPELINE, REQUIRED, Context
from cortado.passes.plan_memory import aligned_size, assign_offsets, root_live_ranges
from cortado.passes.reuse_storage import with_places
from cortado.passes.simplify import simplify
from cortado.runtime import Net

from .meaning import Inputs, Meaning, meaning, roughly
from .numbers import fed, filled

WHOLE = tuple(p.__name__ for p in PIPELINE)
NEEDED = tuple(p.__name__ for p in REQUIRED)
NAMES = (Target.name, *TARGETS)


@dataclass(frozen=True)
class Trial:
    """The passes by name, the target's name, and whether the runtime runs what comes of it."""

    target: str
    passes: tuple[str, ...]
    run: bool = False
    again: bool = False  # the passes are run again on their own result

    def __str__(self) -> str:
        named = {WHOLE: "the whole pipeline", NEEDED: "what is required"}.get(self.passes, ", ".join(self.passes))
        return f"{named} for {self.target}{' and run' if self.run else ''}"


@dataclass(frozen=True)
class Failure:
    """What went wrong (`kind`) after which pass, in words."""

    trial: Trial
    kind: str  # pass, verify, text, numbers, poison, again, artifact
    after: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind} after {self.after or 'nothing'}: {self.sentence}\n    in {self.trial}"

    @property
    def sort(self) -> tuple[str, str, str]:
        """Failures of one sort have, as far as can be told, one cause."""
        return self.kind, self.after, self.sentence.split(":")[0] if self.kind == "pass" else ""


class Broken(Exception):
    def __init__(self, kind: str, sentence: str) -> None:
        self.kind, self.sentence = kind, sentence


class Subject:
    """A net with its numbers, its meaning, and what was found sound already: equal texts are proved once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = filled(graph)
        self.inputs = fed(graph)
        self.meaning = meaning(self.graph, self.inputs)
        self.sound: dict[str, Graph] = {}  # by its text, each as it is read back
        self.settles = settles(self.graph)

    def fails(self, trial: Trial) -> Failure | None:
        """Take the net through the trial; the first thing that is wrong."""
        after = ""
        try:
            self.prove(self.graph, self.meaning)
            graph, expected, target = self.graph, self.meaning, target_of(trial.target)
            for after in trial.passes:
                before, graph = graph, applied(graph, after, target)
                expected = self.rounded(before, graph, expected)
                self.prove(graph, expected)
            after = f"{after}, at the end"
            if trial.again and (self.settles or target.dtype is None):  # f16 would be rounded again
                if not self.settles:
                    graph = repeated(self.sound[show(graph)], trial, target)
                    self.prove(graph, expected)
                text = show(graph)
                if (again := show(repeated(self.sound[text], trial, target))) != text:
                    raise Broken("again", f"run again, they change more: {first_difference(text, again)}")
            if trial.run:
                self.run(graph, trial.target, expected)
        except Broken as e:
            return Failure(trial, e.kind, after, e.sentence)
        return None

    def rounded(self, before: Graph, after: Graph, expected: Meaning) -> Meaning:
        """What is meant from now on: the same, or what is left of it where a pass has made f16 of the numbers."""
        if dtypes(before) == dtypes(after):
            return expected
        inputs = {name: roughly(x) for name, x in self.inputs.items()}
        kept = meaning(coarse(filled(before, late=True), after), inputs)
        found = meaning(after, inputs)
        if difference := kept.differs(found.results, [name for name, _ in after.returns]):
            raise Broken("numbers", f"rounded, {difference}")
        return found

    def given(self, graph: Graph) -> Inputs:
        return {v.name: self.inputs[v.name].to(DTYPES[v.type.dtype]) for v in graph.inputs}

    def prove(self, graph: Graph, expected: Meaning) -> None:
        text = show(graph)
        if text in self.sound:
            return
        again = checked("text", lambda: parse(text, "dump.net", by_handle(graph)))
        if (printed := show(again)) != text:
            raise Broken("text", f"what is read back prints otherwise: {first_difference(text, printed)}")
        checked("verify", lambda: verify(graph))
        if [name for name, _ in graph.returns] != [name for name, _ in self.graph.returns]:
            raise Broken("numbers", "the outputs have other names")
        names, inputs = [name for name, _ in graph.returns], self.given(graph)
        found = checked("numbers", lambda: meaning(again, inputs).results)
        if difference := expected.differs(found, names):
            raise Broken("numbers", difference)
        if all(v.type.is_static for v in graph.values.values()) and f32(graph):
            bound = filled(graph, late=True)
            plan = checked("poison", lambda: bound if bound.arena is not None else packed(bound))
            found = checked("poison", lambda: run_poisoned(plan, *inputs.values()))
            if difference := expected.differs(found, names):
                raise Broken("poison", difference)
        self.sound[text] = again

    def run(self, graph: Graph, target: str, expected: Meaning) -> None:
        """The artifact, run twice: the second time in an arena full of the first run."""
        bound = filled(graph, late=True)
        net = checked("artifact", lambda: Net.from_artifact(build(bound, filled(self.graph, late=True), target)))
        for _ in range(2):
            results: dict[str, Any] = checked("artifact", lambda: net(self.given(graph)))
            found = [torch.as_tensor(results[name]).cpu() for name, _ in graph.returns]
            if difference := expected.differs(found, list(results)):
                raise Broken("artifact", difference)


def packed(graph: Graph) -> Graph:
    """A tight plan, by the first of the orders that `plan_memory` tries."""
    graph = eliminate_dead_code(graph)
    spans = root_live_ranges(graph)
    at = assign_offsets(spans, sorted(spans, key=lambda v: -aligned_size(v)))
    placed = with_places(replace(graph, arena=None), {v: replace(v.place, at=at[v]) for v in at})
    return verify(replace(placed, arena=max((at[v] + aligned_size(v) for v in at), default=0)))


def checked(kind: str, work: Any) -> Any:
    """What the work gives; any exception as the failure that it is."""
    try:
        return work()
    except Broken:
        raise
    except Exception as e:
        raise Broken(kind, f"{type(e).__name__}: {e}") from e


def applied(graph: Graph, name: str, target: Target) -> Graph:
    made: Graph = checked("pass", lambda: getattr(all_passes, name)(graph, Context(target).for_pass(name)))
    return made


def repeated(graph: Graph, trial: Trial, target: Target) -> Graph:
    for name in trial.passes:
        graph = applied(graph, name, target)
    return graph


def settles(graph: Graph) -> bool:
    """Whether passes, run once, can be held to leave nothing for a second run.

    Not where a node stands in their way that is gone afterwards: a dead one; one that looks at shapes alone, or changes
    nothing for these shapes, which `fold_constants` works out and `simplify` takes out after the passes that fold
    layers (they do not wait for shapes); one whose place was decided, and is forgotten when others change.
    """
    still = eliminate_dead_code(graph) is graph and simplify(graph, Context()) is graph
    return still and not any(n.op.shape_only or n.is_placed for n in graph.nodes)


def target_of(name: str) -> Target:
    return TARGETS.get(name) or Target()


def dtypes(graph: Graph) -> set[str]:
    return {v.type.dtype for v in (*graph.inputs, *graph.constants)}


def f32(graph: Graph) -> bool:
    """Torch's f16 on a CPU is slow, and rounds so much that nothing can be said of it."""
    return all(v.type.dtype != "f16" for v in graph.values.values())


def coarse(graph: Graph, after: Graph) -> Graph:
    """The net with its weights rounded as f16 rounds them, where the net after the pass reads them so."""
    made = {n.name: n for n in after.nodes}

    def read(value: Value, dtype: str) -> Value:
        exact = not isinstance(value, Constant) or (value.type.dtype, dtype) != ("f32", "f16")
        return value if exact else replace(value, data=roughly(value.data))  # type: ignore[attr-defined,call-arg]

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
