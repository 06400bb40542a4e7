"""What is done to a net, in the order in which it is done. A pass is a function (graph, context) -> graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..compiler.errors import CompileError
from ..compiler.ir import Graph
from ..compiler.op import did_you_mean
from .assign_layout import assign_layout
from .assign_precision import assign_precision
from .context import Context, Note
from .eliminate_common_subexpressions import eliminate_common_subexpressions
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

Pass = Callable[[Graph, Context], Graph]

PIPELINE: tuple[Pass, ...] = (
    remove_dropout,  # first: what is gone stands in nobody's way
    sink_transpose,  # before folding: a layer above a change of order meets what made its operand
    hoist_scale,  # before folding: it brings layers to where they can be folded
    fold_batchnorm,  # before sharing: what is folded into two equal weights may differ
    fold_forward,  # after folding back, which asks nothing of the padding
    share_weights,
    eliminate_common_subexpressions,  # after sharing: equal work is work on the same weights
    fold_constants,  # what shapes alone decide; before layouts, which weights do not have
    simplify,
    subsample,  # before layouts: the small value is laid out as its readers want it
    assign_precision,  # after folding, which rounds once, at its end
    assign_layout,  # before fusing: a change of layout stands between two kernels
    merge_convolutions,  # after layouts: both have to lie alike; before fusing: the pieces are written by the kernel
    schedule,  # before fusing: a sum rides on the operand that is made last
    fuse,
    reuse_storage,  # after fusing: most of what was in place has become a ride
    plan_memory,  # last: it needs the final nodes, their order, and who lies in whom
)
WITHOUT_SHAPES = 7  # so many passes of the pipeline look at no shape: what they leave can be compiled for any
REQUIRED: tuple[Pass, ...] = (fold_constants, assign_precision, plan_memory)  # what a net cannot run without

__all__ = ["PIPELINE", "REQUIRED", "WITHOUT_SHAPES", "Context", "Note", "Pass", "PassFailed", "run", "select"]


def run(
    graph: Graph,
    context: Context,
    passes: Sequence[Pass] = PIPELINE,
    seen: Callable[[str, Graph], None] = lambda name, graph: None,
) -> Graph:
    """The graph after these passes; `seen` is shown it after each. PassFailed if one raises anything."""
    for p in passes:
        try:
            after = p(graph, context.for_pass(p.__name__))
        except Exception as e:
            raise PassFailed(p.__name__, graph, e) from e
        graph = after
        seen(p.__name__, graph)
    return graph


def select(names: Sequence[str]) -> tuple[Pass, ...]:
    """Passes by name, in the order asked for. CompileError if there is none of that name."""
    known = {p.__name__: p for p in PIPELINE}
    for name in names:
        if name not in known:
            message = f"no pass is called {name}{did_you_mean(name, known)}"
            raise CompileError(message, advice=f"The passes are {', '.join(known)}.")
    return tuple(known[name] for name in names)
