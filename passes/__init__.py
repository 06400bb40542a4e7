"""The pass pipeline: which passes run on a net, in which order, and why in that order.

A pass over the graph is a function (graph, context) -> graph; one over its memory, (graph, plan, context) -> plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from ..compiler.errors import CompileError
from ..compiler.ir import Graph
from ..compiler.plan import UNPLANNED, MemoryPlan, PlannedGraph
from ..compiler.suggestion import did_you_mean
from ..compiler.verify import verify
from .add_halos import add_halos
from .assign_layout import assign_layout
from .assign_precision import assign_precision
from .context import Context, Note
from .eliminate_common_subexpressions import eliminate_common_subexpressions
from .eliminate_dead_code import eliminate_dead_code
from .failure import PassFailed
from .fold_batchnorm import fold_batchnorm
from .fold_constants import fold_constants
from .fold_forward import fold_forward
from .fuse import fuse
from .hoist_scale import hoist_scale
from .merge_convolutions import merge_convolutions
from .plan_memory import plan_memory
from .remove_dropout import remove_dropout
from .reuse_storage import reuse_storage
from .schedule import schedule
from .share_weights import share_weights
from .simplify import simplify
from .sink_transpose import sink_transpose
from .subsample import subsample
from .unfold_convolutions import unfold_convolutions

GraphPass = Callable[[Graph, Context], Graph]
PlanPass = Callable[[Graph, MemoryPlan, Context], MemoryPlan]
Pass = GraphPass | PlanPass

SHAPE_FREE: tuple[GraphPass, ...] = (  # independent of shapes: their result can be compiled for any input shape
    eliminate_dead_code,  # first: removes nodes that would block later matches
    remove_dropout,  # for the same reason
    sink_transpose,  # before folding: a layer moved above a transpose can be folded into its producer
    hoist_scale,  # before folding: it moves layers next to a producer that they can be folded into
    fold_batchnorm,  # before sharing: two equal weights may differ after folding
    fold_forward,  # after folding into producers, which works with any padding
    share_weights,  # before the next: it compares weights by identity
    eliminate_common_subexpressions,  # after sharing: equal nodes must read the same weights
)
SHAPED: tuple[GraphPass, ...] = (
    fold_constants,  # results that depend on shapes only; before layouts, because constants have none
    simplify,  # after constants; before layouts: removed nodes need none
    subsample,  # before layouts: the subsampled value gets the layout that its consumers need
    unfold_convolutions,  # before layouts, and before precision: it makes new weights
    assign_precision,  # after folding, so that folded weights are rounded only once
    assign_layout,  # before fusing: a relayout separates two kernels
    merge_convolutions,  # after layouts, which must agree; before fusing: the merged kernel stores the slices
    schedule,  # before fusing: a sum is fused with the operand that is computed last
    fuse,  # last before planning: it decides which values exist in memory
)
PLANNING: tuple[PlanPass, ...] = (
    reuse_storage,  # after fusing, which leaves few elementwise nodes that could run in place
    add_halos,  # after reuse: all values of one storage share its border
    plan_memory,  # last: it needs the final nodes, their order, all aliases, subviews and borders
)
PIPELINE: tuple[Pass, ...] = (*SHAPE_FREE, *SHAPED, *PLANNING)
REQUIRED: tuple[Pass, ...] = (  # no net runs without
    eliminate_dead_code, fold_constants, assign_precision, add_halos, plan_memory
)  # fmt: skip

REGISTERED: dict[str, tuple[GraphPass, str]] = {}  # passes of other packages by name, and the pass that each precedes

FORMER = {  # names that passes had in version 0.1
    "drop_training": "remove_dropout",
    "merge_equal": "eliminate_common_subexpressions",
    "push_scale": "hoist_scale",
    "sink_order": "sink_transpose",
}

__all__ = [
    "PIPELINE", "PLANNING", "REQUIRED", "SHAPED", "SHAPE_FREE", "Context", "GraphPass", "Note", "Pass", "PassFailed",
    "PlanPass", "apply", "pipeline", "register_pass", "run", "select", "unregister_pass",
]  # fmt: skip


def register_pass(function: GraphPass, *, before: str) -> None:
    """Add a pass to the pipeline, in front of the pass called `before`, for as long as the program runs.

    Passes that are registered in front of the same one run in the order of registration. In front of one of SHAPE_FREE
    it is part of what is kept for other input shapes, and must not depend on shapes. It is run again on its own result
    when a compiled file is compiled again, and must then change nothing. ValueError if there is a pass of that name,
    or none called `before`.
    """
    name, known = function.__name__, [p.__name__ for p in PIPELINE]
    if name in known or REGISTERED.get(name, (function, before)) != (function, before):
        raise ValueError(f"there is a pass called {name} already")
    if before not in known:
        raise ValueError(f"no pass is called {before}{did_you_mean(before, known)}; the passes are {', '.join(known)}")
    if before in [p.__name__ for p in PLANNING[1:]]:
        raise ValueError(f"only planning comes before {before}: register {name} before {PLANNING[0].__name__}, at last")
    REGISTERED[name] = function, before


def unregister_pass(name: str) -> None:
    """Remove a registered pass from the pipeline. ValueError if there is none of this name."""
    if name not in REGISTERED:
        raise ValueError(f"no pass {name} is registered{did_you_mean(name, REGISTERED)}")
    del REGISTERED[name]


def pipeline() -> tuple[Pass, ...]:
    """PIPELINE with the registered passes, each in front of the pass that it was registered for."""
    return tuple(
        p for known in PIPELINE for p in (*(f for f, before in REGISTERED.values() if before == known.__name__), known)
    )


def run(
    graph: Graph,
    context: Context,
    passes: Sequence[Pass] = PIPELINE,
    seen: Callable[[str, PlannedGraph], None] = lambda name, planned: None,
    *,
    plan: MemoryPlan = UNPLANNED,
) -> PlannedGraph:
    """The graph and its memory plan after these passes. `plan` is the plan of `graph`, if it has one.

    `seen(name, planned)` is called after each pass. PassFailed if a pass raises, or if `verify` refuses its result.
    """
    planned = PlannedGraph(graph, plan)
    for p in passes:
        try:
            after = apply(p, planned, context)
        except Exception as e:
            raise PassFailed(p.__name__, planned, e) from e
        planned = after
        seen(p.__name__, planned)
    return planned


def apply(p: Pass, planned: PlannedGraph, context: Context) -> PlannedGraph:
    """The verified result of one pass. A memory plan belongs to one graph: a pass that writes another drops it."""
    graph, plan = planned
    context = context.for_pass(p.__name__)
    if p in PLANNING:
        made: MemoryPlan = p(graph, plan, context)
        if made is not plan:
            verify(graph, made)
        return PlannedGraph(graph, made)
    after = cast(GraphPass, p)(graph, context)
    if after is graph:
        return planned
    if plan:
        context.did(after, "has changed: its memory plan is dropped")
    return PlannedGraph(verify(after))


def select(names: Sequence[str]) -> tuple[Pass, ...]:
    """Passes by name, in the given order. CompileError on an unknown name."""
    known = {p.__name__: p for p in pipeline()}
    for name in names:
        if name not in known:
            hint = f"; did you mean {FORMER[name]}?" if name in FORMER else did_you_mean(name, known)
            raise CompileError(f"no pass is called {name}{hint}", advice=f"The passes are {', '.join(known)}.")
    return tuple(known[name] for name in names)
