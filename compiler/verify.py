"""The verifier of graphs, which runs after every pass and every parse.

Invariants: names are unique, a value is defined once and before its uses, types are those that the operators infer, and
the images of a node have one layout. Those of a memory plan are in memory.py.
"""

from __future__ import annotations

from .errors import CompileError, Loc
from .ir import LAYOUTS, Constant, Graph, Node, Value
from .limits import size_fault
from .memory import verify_plan
from .plan import UNPLANNED, MemoryPlan, PlannedGraph


def verify(graph: Graph, plan: MemoryPlan = UNPLANNED) -> Graph:
    """Return `graph`, or raise CompileError for the first violated invariant of it or of its memory plan."""
    names: dict[str, Value] = {}

    def define(value: Value, loc: Loc | None = None) -> None:
        other = names.setdefault(value.name, value)
        require(other is value, graph, f"two values are called {value.name}", loc)

    for value in (*graph.inputs, *graph.constants):
        define(value)
        fault = size_fault(value.type)
        require(not fault, graph, f"{value.name} {fault}")
    seen: set[Value] = {*graph.inputs, *graph.constants}
    require(len(seen) == len(graph.inputs) + len(graph.constants), graph, "an input is given twice")
    for node in graph.nodes:
        for value in node.inputs:
            require(value in seen, graph, f"{node.op.name} reads {value.name} before it is defined", node.loc)
        for value in node.results:
            require(value not in seen, graph, f"{value.name} is defined twice", node.loc)
            define(value, node.loc)
            seen.add(value)
        verify_types(graph, node)
        verify_layouts(graph, node)
    verify_returns(graph, seen)
    if plan:
        verify_plan(PlannedGraph(graph, plan))
    return graph


def verify_types(graph: Graph, node: Node) -> None:
    try:
        made = node.inferred_types
    except ValueError as e:
        raise CompileError(f"{graph.name}: {node.name} = {node.op.name}: {e}", node.loc) from None
    same_count = len(made) == len(node.results)
    require(same_count, graph, f"{node.op.name} has {len(made)} results, not {len(node.results)}", node.loc)
    for value, type in zip(node.results, made, strict=True):
        require(value.type == type, graph, f"{value.name} is {value.type}, and {node.op.name} gives {type}", node.loc)


def verify_layouts(graph: Graph, node: Node) -> None:
    """The images of a node have one layout, unless its operator's traits allow several; row-major only means nchw."""
    images = [v for v in (*node.inputs, *node.results) if v.layout is not None]
    for value in images:
        require(value.layout in LAYOUTS, graph, f"{value.name} has the unknown layout {value.layout}", node.loc)
        require(value.type.rank == 4, graph, f"{value.name} has a layout, and is not an image [n, c, h, w]", node.loc)
        require(not isinstance(value, Constant), graph, f"the weight {value.name} has a layout", node.loc)
    if node.op.name == "relayout":
        to = node.results[0].layout
        wanted = node.op.all_attributes()["to"]
        require(to in (None, wanted), graph, f"{node.name} is a relayout to {wanted}, and is {to}", node.loc)
    elif node.op.row_major_only:
        for value in images:
            row_major = value.layout == "nchw" or is_layout_invariant(value)
            require(row_major, graph, f"{node.op.name} is row-major only, and {value.name} is {value.layout}", node.loc)
    elif (
        not node.op.layout_agnostic
        and len({v.layout for v in images_of_one_layout(node, images) if not is_layout_invariant(v)}) > 1
    ):
        listed = ", ".join(f"{v.name} {v.layout}" for v in images)
        require(False, graph, f"{node.op.name} mixes layouts: {listed}", node.loc)


def images_of_one_layout(node: Node, images: list[Value]) -> list[Value]:
    """The images of a node that must have one layout: all but an operand that it reads in any layout."""
    return [v for v in images if v is not node.inputs[0]] if node.op.reads_any_layout else images


def is_layout_invariant(value: Value) -> bool:
    """True if an image is the same bytes in nchw and nhwc: it has one channel, or one pixel."""
    _, c, h, w = value.type.bounds
    return c == 1 or h * w == 1


def verify_returns(graph: Graph, seen: set[Value]) -> None:
    names: set[str] = set()
    for name, value in graph.returns:
        known = value in seen or isinstance(value, Constant)
        require(known, graph, f"the output {name} is not defined")
        require(name not in names, graph, f"two outputs are called {name}")
        names.add(name)


def require(truth: bool, graph: Graph, message: str, loc: Loc | None = None) -> None:
    if not truth:
        raise CompileError(f"{graph.name}: {message}", loc)
