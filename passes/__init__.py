"""What is done to a net, in the order in which it is done.

A pass over the graph is a function (graph, context) -> graph; one over its memory, (graph, plan, context) -> plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from ..compiler.errors import CompileError
from ..compiler.ir import Graph
from ..compiler.op import did_you_mean
from ..compiler.plan import UNPLANNED, MemoryPlan, PlannedGraph
from ..compiler.verify import verify
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

GraphPass = Callable[[Graph, Context], Graph]
PlanPass = Callable[[Graph, MemoryPlan, Context], MemoryPlan]
Pass = GraphPass | PlanPass

SHAPE_FREE: tuple[GraphPass, ...] = (  # they look at no shape: what they leave can be compiled for any
    eliminate_dead_code,  # first: removes nodes that would block later matches
    remove_dropout,  # so does this
    sink_transpose,  # before folding: a layer above a transpose meets what made its operand
    hoist_scale,  # before folding: it brings layers to where they can be folded
    fold_batchnorm,  # before sharing: what is folded into two equal weights may differ
    fold_forward,  # after folding back, which asks nothing of the padding
    share_weights,
    eliminate_common_subexpressions,  # after sharing: equal work is work on the same weights
)
SHAPED: tuple[GraphPass, ...] = (
    fold_constants,  # what shapes alone decide; before layouts, which weights do not have
    simplify,
    subsample,  # before layouts: the small value is laid out as its readers want it
    assign_precision,  # after folding, which rounds once, at its end
    assign_layout,  # before fusing: a change of layout stands between two kernels
    merge_convolutions,  # after layouts, which have to agree; before fusing: the kernel stores the slices
    schedule,  # before fusing: a sum is fused with the operand that is computed last
    fuse,
)
PLANNING: tuple[PlanPass, ...] = (
    reuse_storage,  # after fusing, which leaves few elementwise nodes that could run in place
    plan_memory,  # last: it needs the final nodes, their order, and all aliases
)
PIPELINE: tuple[Pass, ...] = (*SHAPE_FREE, *SHAPED, *PLANNING)
REQUIRED: tuple[Pass, ...] = (eliminate_dead_code, fold_constants, assign_precision, plan_memory)  # to run at all

FORMER = {  # names that passes had in version 0.1
    "drop_training": "remove_dropout",
    "merge_equal": "eliminate_common_subexpressions",
    "push_scale": "hoist_scale",
    "sink_order": "sink_transpose",
}

__all__ = [
    "PIPELINE", "PLANNING", "REQUIRED", "SHAPED", "SHAPE_FREE", "Context", "GraphPass", "Note", "Pass", "PassFailed",
    "PlanPass", "apply", "run", "select",
]  # fmt: skip


def run(
    graph: Graph,
    context: Context,
    passes: Sequence[Pass] = PIPELINE,
    seen: Callable[[str, PlannedGraph], None] = lambda name, planned: None,
    *,
    plan: MemoryPlan = UNPLANNED,
) -> PlannedGraph:
    """The graph and its memory plan after these passes; `seen` is shown both after each. `plan` is what there was.

    PassFailed if one raises anything, or leaves what `verify` refuses.
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
    """What one pass makes, verified. A plan is of one graph: it is dropped where the pass writes another."""
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
        context.did(after, "is another net now: its memory plan is dropped")
    return PlannedGraph(verify(after))


def select(names: Sequence[str]) -> tuple[Pass, ...]:
    """Passes by name, in the order asked for. CompileError if there is none of that name."""
    known = {p.__name__: p for p in PIPELINE}
    for name in names:
        if name not in known:
            hint = f"; did you mean {FORMER[name]}?" if name in FORMER else did_you_mean(name, known)
            raise CompileError(f"no pass is called {name}{hint}", advice=f"The passes are {', '.join(known)}.")
    return tuple(known[name] for name in names)
