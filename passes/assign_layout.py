"""Choose a memory layout for each image: nchw as in Caffe, or nhwc where the target prefers it.

    c = conv(x, w)             x.nhwc: f32[1,3,8,8]:nhwc = relayout(x)
    f = flatten(c)       =>    c: f32[1,4,6,6]:nhwc = conv(x.nhwc, w)
                               c.nchw: f32[1,4,6,6]:nchw = relayout(c, to="nchw")
                               f: f32[1,144] = flatten(c.nchw)

An operator for which the target has no preference takes the layout of its first image. A row-major-only operator needs
nchw. A layout-agnostic operator reads its operands in any layout, and so does an operator with `reads_any_layout` if
the target's kernel can (the first convolution, pooling); such a pooling writes nchw itself if all its consumers are
row-major only. The result of a transpose is nhwc if it can then alias its operand. Left alone: a net that has layouts,
and images of one pixel or one channel, which are the same bytes in both layouts; of these, an input that the target
wants a border of zeros around is copied all the same.
"""

from __future__ import annotations

from dataclasses import replace

from ..compiler.ir import Constant, Graph, Node, Value
from ..compiler.kernel import kernel_graph
from ..compiler.ops.indexing import Transpose
from ..compiler.ops.shape import Relayout
from ..compiler.plan import NO_HALO
from ..compiler.rewrite import UniqueNames, Writer
from ..compiler.verify import is_layout_invariant
from .context import Context


def assign_layout(graph: Graph, context: Context) -> Graph:
    values = [v for n in graph.nodes for v in n.results]
    if any(v.layout for v in (*graph.inputs, *values)) or not any(v.type.rank == 4 for v in values):
        return graph
    writer, names = Writer(graph), UniqueNames(graph)
    inputs = tuple(with_layout(v, "nchw") for v in graph.inputs)
    for old, new in zip(graph.inputs, inputs, strict=True):
        writer[old] = new
    changed: dict[tuple[Value, str], Value] = {}

    def to_layout(value: Value, layout: str, node: Node) -> Value:
        """The value in that layout: itself, or a relayout, emitted once per layout."""
        if value.layout in (None, layout) or (is_layout_invariant(value) and not is_staged(value, node)):
            return value
        if (value, layout) not in changed:
            name = names.fresh(f"{value.name}.{layout}")
            changed[value, layout] = writer.emit(Relayout(to=layout), value, name=name, loc=node.loc, layout=layout)
            context.did(value, f"{value.type.nbytes} bytes converted to {layout} for {node.name}")
        return changed[value, layout]

    def is_staged(value: Value, node: Node) -> bool:
        """True if a net's input has to be copied, because the target reads zeros around it."""
        return value in inputs and context.target.halo(kernel_graph(node), 0) != NO_HALO

    for node in graph.nodes:
        inputs_here = [writer[v] for v in node.inputs]
        layout = "nchw" if can_write_row_major(node, graph, context) else preferred_layout(node, inputs_here, context)
        layout = "nhwc" if can_alias_as_nhwc(node, inputs_here, graph) else layout
        first = count_operands_of_any_layout(node, inputs_here, context)
        read = tuple(
            v if i < first or isinstance(v, Constant) else to_layout(v, layout, node) for i, v in enumerate(inputs_here)
        )
        results = tuple(with_layout(v, layout) for v in node.results)
        for old, new in zip(node.results, results, strict=True):
            writer[old] = new
        writer.add(Node(node.op, read, results, node.loc))
    writer.graph = replace(graph, inputs=inputs)
    return writer.finish()


def with_layout(value: Value, layout: str) -> Value:
    return replace(value, layout=layout) if value.type.rank == 4 else value


def count_operands_of_any_layout(node: Node, operands: list[Value], context: Context) -> int:
    """The number of leading operands that the node reads in any layout."""
    if node.op.layout_agnostic or isinstance(node.op, Relayout):
        return len(operands)
    return int(
        node.op.reads_any_layout
        and operands[0].type.rank == 4
        and context.target.reads_any_layout(node.op, operands[0].type)
    )


def can_write_row_major(node: Node, graph: Graph, context: Context) -> bool:
    """True if a node reads any layout, has no preferred one, and all its consumers need nchw: it then writes nchw."""
    op, x = node.op, node.inputs[0] if node.inputs else None
    if (
        x is None
        or not op.reads_any_layout
        or context.target.layouts(op)
        or not context.target.reads_any_layout(op, x.type)
    ):
        return False
    if all(v.type.rank != 4 or is_layout_invariant(v) for v in node.results):
        return False
    readers = [reader for v in node.results for reader in graph.users[v]]
    return bool(readers) and all(reader.op.row_major_only for reader in readers)


def can_alias_as_nhwc(node: Node, operands: list[Value], graph: Graph) -> bool:
    """True if a transposed image in nhwc could alias its operand, and some consumer accepts nhwc."""
    if not isinstance(node.op, Transpose) or node.output.type.rank != 4:
        return False
    readers = graph.users[node.output]
    can_alias = Node(node.op, tuple(operands), (with_layout(node.output, "nhwc"),)).can_alias_operand
    only_row_major = all(reader.op.row_major_only for reader in readers)
    return can_alias and not is_layout_invariant(node.output) and not only_row_major


def preferred_layout(node: Node, operands: list[Value], context: Context) -> str:
    """The layout that a node writes, and reads unless it reads any layout."""
    if isinstance(node.op, Relayout):
        return node.op.to
    if node.op.row_major_only or node.op.layout_agnostic:
        return "nchw"
    images = [v.layout for v in operands if v.layout]
    preferred = context.target.layouts(node.op)
    return preferred[0] if preferred else images[0] if images else "nchw"
