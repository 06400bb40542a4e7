"""Local simplifications: remove identities, and nodes that undo or repeat their producer.

    f = flatten(x)                          y = linear(x, w)
    y = linear(f, w)                  =>

    a = relayout(x, to="nhwc")              y = relu(x)
    b = relayout(a, to="nchw")        =>
    y = relu(b)

One rule per function below; its docstring is the reason that the note gives. Outputs keep their names: an output whose
node is removed returns the replacement. Nodes that are equal afterwards are merged. Left alone: all that no rule
matches.
"""

from __future__ import annotations

from collections.abc import Callable

from ..compiler.ir import Graph, Node, Value
from ..compiler.ops.activation import Relu
from ..compiler.ops.dense import Linear
from ..compiler.ops.indexing import Crop, Tile, Transpose
from ..compiler.ops.pool import AvgPool
from ..compiler.ops.resize import Interp, Upsample
from ..compiler.ops.shape import Concat, Flatten, Reinterpret, Relayout, Reshape, Slice
from ..compiler.rewrite import Writer
from .context import Context
from .eliminate_common_subexpressions import eliminate_common_subexpressions

Rule = Callable[[Node, Writer], Value | None]


def simplify(graph: Graph, context: Context) -> Graph:
    while (made := simplify_once(graph, context)) is not graph:
        graph = eliminate_common_subexpressions(made, context)  # nodes whose operands are the same by now
    return graph


def simplify_once(graph: Graph, context: Context) -> Graph:
    """The net with each node simplified by the first rule that matches it; the same graph if none does."""
    writer, changed = Writer(graph), False
    for node in graph.nodes:
        made = None
        if len(node.results) == 1:
            for rule in RULES:
                if (made := rule(node, writer)) is not None:
                    context.did(node, f"simplified: {rule.__doc__}".rstrip("."))
                    break
        if made is None:
            writer.copy(node)
        else:
            writer[node.output], changed = made, True
    return writer.finish() if changed else graph


def producer_of(value: Value, out: Writer) -> Node | None:
    return out.producer.get(value)


def remove_identity_reshape(node: Node, out: Writer) -> Value | None:
    """its result has the shape of its operand."""
    x = out[node.inputs[0]] if node.inputs else None
    return x if isinstance(node.op, Reinterpret) and x is not None and x.type == node.output.type else None


def remove_single_concat(node: Node, out: Writer) -> Value | None:
    """it has one operand, or one result."""
    single = (isinstance(node.op, Concat) and len(node.inputs) == 1) or isinstance(node.op, Slice)
    return out[node.inputs[0]] if single else None


def remove_unit_pool(node: Node, out: Writer) -> Value | None:
    """its windows are 1×1 at stride 1."""
    if not isinstance(node.op, AvgPool):  # the maximum of one NaN is -FLT_MAX
        return None
    windows = node.op.windows(node.inputs[0].type.shape[2:]) if node.inputs[0].type.is_static else ()
    is_unit = bool(windows) and all(w.kernel == 1 and w.stride == 1 and w.pad == 0 for w in windows)
    return out[node.inputs[0]] if is_unit else None


def remove_repeated_relu(node: Node, out: Writer) -> Value | None:
    """its operand is the result of a ReLU."""
    x = out[node.inputs[0]] if node.inputs else None
    made = producer_of(x, out) if x is not None else None
    positive = made is not None and made.op == Relu()
    return x if isinstance(node.op, Relu) and positive else None


def cancel_relayouts(node: Node, out: Writer) -> Value | None:
    """it undoes the relayout before it."""
    if not isinstance(node.op, Relayout):
        return None
    x = out[node.inputs[0]]
    if x.layout == node.op.to and x.layout is not None:
        return x
    before = producer_of(x, out)
    if before is None or not isinstance(before.op, Relayout):
        return None
    source = before.inputs[0]
    return source if source.layout == node.op.to else None


def remove_open_relayout(node: Node, out: Writer) -> Value | None:
    """no layout is chosen yet: each value gets the one that its consumers need."""
    if not isinstance(node.op, Relayout):
        return None
    x = out[node.inputs[0]]
    return x if x.layout is None and node.output.layout is None else None


def absorb_flatten(node: Node, out: Writer) -> Value | None:
    """a matrix product flattens its operand itself."""
    if not isinstance(node.op, Linear):
        return None
    before = producer_of(out[node.inputs[0]], out)
    if before is None or not isinstance(before.op, Flatten):
        return None
    axis, image = node.op.axis % before.output.type.rank, before.inputs[0]
    if axis != before.op.axis % image.type.rank or image.layout == "nhwc":
        return None
    op = Linear(axis=axis, transpose=node.op.transpose)
    return out.emit(op, image, *(out[v] for v in node.inputs[1:]), name=node.name, loc=node.loc)


def merge_reshapes(node: Node, out: Writer) -> Value | None:
    """it reshapes the result of a reshape."""
    if not isinstance(node.op, Reinterpret) or not node.output.type.is_static:
        return None
    before = producer_of(out[node.inputs[0]], out)
    if before is None or not isinstance(before.op, Reinterpret):
        return None
    if before.inputs[0].type == node.output.type:
        return before.inputs[0]
    if isinstance(node.op, Flatten) and node.op == Flatten():  # works for any batch size, which a reshape does not
        source = before.inputs[0]
        if source.type.rank > 1 and source.type.dims[0] == node.output.type.dims[0]:
            return out.emit(Flatten(), source, name=node.name, loc=node.loc)
    op = Reshape(shape=node.output.type.shape)
    return out.emit(op, before.inputs[0], name=node.name, loc=node.loc)


def fix_crop_sizes(node: Node, out: Writer) -> Value | None:
    """its sizes are known, and its second operand only gives sizes."""
    if not isinstance(node.op, Crop) or len(node.inputs) < 2:
        return None
    x, axis = out[node.inputs[0]], node.op.axis % node.output.type.rank
    wanted = node.output.type.dims[axis:]
    if not all(isinstance(d, int) for d in wanted):
        return None
    op = Crop(axis=axis, offset=node.op.offset, sizes=node.output.type.with_shape(*wanted).shape)
    return out.emit(op, x, name=node.name, loc=node.loc)


def remove_identity_copy(node: Node, out: Writer) -> Value | None:
    """its result has the shape of its operand."""
    may_copy = isinstance(node.op, Crop | Tile | Upsample) or (isinstance(node.op, Interp) and not any(node.op.trim))
    return out[node.inputs[0]] if may_copy and node.output.type == node.inputs[0].type else None


def merge_transposes(node: Node, out: Writer) -> Value | None:
    """it is the identity, or transposes the result of a transpose."""
    if not isinstance(node.op, Transpose):
        return None
    x, order = out[node.inputs[0]], node.op.order
    before = producer_of(x, out)
    if before is not None and isinstance(before.op, Transpose):
        x, order = before.inputs[0], tuple(before.op.order[i] for i in order)
    if order == tuple(range(len(order))) and x.layout == node.output.layout:
        return x
    if order == node.op.order:
        return None
    return out.emit(Transpose(order=order), x, name=node.name, loc=node.loc, layout=node.output.layout)


RULES: tuple[Rule, ...] = (
    remove_identity_copy,
    fix_crop_sizes,
    merge_transposes,
    remove_identity_reshape,
    remove_single_concat,
    remove_unit_pool,
    remove_repeated_relu,
    cancel_relayouts,
    remove_open_relayout,
    merge_reshapes,
    absorb_flatten,
)
