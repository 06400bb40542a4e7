"""The last stage of compilation: from a graph with its memory plan to an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..runtime.artifact import Artifact, Plan, Weight
from .errors import CompileError
from .ir import Graph
from .plan import PlannedGraph
from .slots import slots_and_weights
from .target import LoweredGraph
from .targets import target as target_named
from .text import show


def build(planned: PlannedGraph, source: Graph, target: str, version: dict[str, str] | None = None) -> Artifact:
    """The artifact of a graph with its memory plan. `source` is the net from which other shapes are compiled.

    CompileError if a weight has no data, memory is not planned, or the target cannot lower a node.
    """
    graph = planned.graph
    if unbound := [c.name for c in graph.constants if not c.is_bound]:
        more = f" and {len(unbound) - 1} more" if len(unbound) > 1 else ""
        advice = "Give the caffemodel, or a function that makes weights."
        raise CompileError(f"{graph.name}: the weight {unbound[0]}{more} has no numbers", advice=advice)
    made = target_named(target).compile(planned)
    constants = (*graph.constants, *source.constants)
    tensors, hashes = {c.handle: c.data for c in constants}, {c.handle: c.digest for c in constants}
    plan = make_plan(planned, target, made)
    handles = {w.handle for w in plan.weights.values()} | {c.handle for c in source.constants}
    kept = {h: tensor for h, tensor in (tensors | dict(made.tensors)).items() if h in handles}
    return Artifact(
        (plan,), kept, show(source), show(*planned), made.sources, {}, version or {}, hashes, made.binaries
    )  # fmt: skip


def combine(artifacts: Sequence[Artifact], target: str) -> Artifact:
    """One artifact with the plans of several, the preferred one first, under the name of a group of targets.

    All are of one source. Its texts are the first one's; equal weights and kernels are stored once.
    """
    made = artifacts[0]
    for other in artifacts[1:]:
        made = replace(
            made,
            plans=(*made.plans, *other.plans),
            weights={**made.weights, **other.weights},
            kernels={**other.kernels, **made.kernels},
            hashes={**made.hashes, **other.hashes},
            binaries={**made.binaries, **other.binaries},
        )
    return replace(made, plans=tuple(replace(plan, target=target) for plan in made.plans))


def make_plan(planned: PlannedGraph, target: str, made: LoweredGraph) -> Plan:
    """The plan for the target's runner: slots, the weights that steps and outputs read, and the steps."""
    graph, memory = planned
    slots, weights = slots_and_weights(planned)
    machine = target_named(target)
    return Plan(
        net=graph.name,
        target=target,
        runner=machine.runner,
        payload=machine.payload,
        arena=(memory.arena or 0) + made.scratch,
        inputs=tuple(v.name for v in graph.inputs),
        slots={**slots, **made.slots},
        weights=used_weights(weights | dict(made.weights), made, graph),
        steps=tuple(made.steps),
        outputs=tuple((name, v.name) for name, v in graph.returns),
    )


def used_weights(weights: Mapping[str, Weight], made: LoweredGraph, graph: Graph) -> dict[str, Weight]:
    """The weights that steps and outputs read; a target may replace a weight of the graph by a packed form."""
    named: Sequence[str] = [*(name for s in made.steps for name in s.operands), *(v.name for v in graph.outputs)]
    return {name: weight for name, weight in weights.items() if name in set(named)}
