"""Decide how each image lies in memory: nchw as Caffe has it, or nhwc where the target is better at that.

    c = conv(x, w)             x.nhwc: f32[1,3,8,8]:nhwc = relayout(x)
    f = flatten(c)       =>    c: f32[1,4,6,6]:nhwc = conv(x.nhwc, w)
                               c.nchw: f32[1,4,6,6]:nchw = relayout(c, to="nchw")
                               f: f32[1,144] = flatten(c.nchw)

An operator that has no wish of its own follows its first image. What goes by rows needs nchw; what copies from any
layout to any other reads its operand as it lies, and so does what the target lets gather its numbers: a first
convolution, and a pooling, which then writes nchw itself if all its readers go by rows. A transpose of an image to
rows of pixels, or back, is the image's own bytes where one of the two lies in nhwc: it then does. Left alone: a net
that has layouts, and images of one pixel or one channel, which are the same bytes in both.
"""

from __future__ import annotations

from dataclasses import replace

from ..compiler.ir import Constant, Graph, Node, Value
from ..compiler.ops.indexing import Transpose
from ..compiler.ops.shape import Relayout
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

    def lying(value: Value, layout: str, node: Node) -> Value:
        """The value in that layout: itself, or a copy, made once."""
        if value.layout in (None, layout) or is_layout_invariant(value):
            return value
        if (value, layout) not in changed:
            name = names.fresh(f"{value.name}.{layout}")
            changed[value, layout] = writer.emit(Relayout(to=layout), value, name=name, loc=node.loc, layout=layout)
            context.did(value, f"{value.type.nbytes} bytes laid out as {layout} for {node.name}")
        return changed[value, layout]

    for node in graph.nodes:
        inputs_here = [writer[v] for v in node.inputs]
        layout = "nchw" if can_write_row_major(node, graph, context) else preferred_layout(node, inputs_here, context)
        layout = "nhwc" if can_alias_as_nhwc(node, inputs_here, graph) else layout
        first = count_operands_of_any_layout(node, inputs_here, context)
        read = tuple(
            v if i < first or isinstance(v, Constant) else lying(v, layout, node) for i, v in enumerate(inputs_here)
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
    """How many operands, from the first on, the node reads in whatever layout they lie."""
    if node.op.layout_agnostic or isinstance(node.op, Relayout):
        return len(operands)
    return int(
        node.op.reads_any_layout
        and operands[0].type.rank == 4
        and context.target.reads_any_layout(node.op, operands[0].type)
    )


def can_write_row_major(node: Node, graph: Graph, context: Context) -> bool:
    """Does a node write rows for all that read it, whatever it reads? Only what has no wish of its own does."""
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
    """Would a transposed image in nhwc be its operand's bytes, in their order? Not asked where only rows are read."""
    if not isinstance(node.op, Transpose) or node.output.type.rank != 4:
        return False
    readers = graph.users[node.output]
    told = Node(node.op, tuple(operands), (with_layout(node.output, "nhwc"),)).can_alias_operand
    return told and not is_layout_invariant(node.output) and not all(reader.op.row_major_only for reader in readers)


def preferred_layout(node: Node, operands: list[Value], context: Context) -> str:
    """The layout that a node reads and writes; only writes, if it reads any."""
    if isinstance(node.op, Relayout):
        return node.op.to
    if node.op.row_major_only or node.op.layout_agnostic:
        return "nchw"
    images = [v.layout for v in operands if v.layout]
    wishes = context.target.layouts(node.op)
    return wishes[0] if wishes else images[0] if images else "nchw"
