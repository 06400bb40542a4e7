"""Subsample a value once if all its consumers are 1×1 convolutions with the same stride.

    a = conv(x, v, stride=2)        x.sub = avg_pool(x, kernel=1, stride=2, round="down")
    b = conv(x, w, stride=2)   =>   a = conv(x.sub, v)
                                    b = conv(x.sub, w)

This ends the live range of the large value at once, instead of at its last consumer: in ResNets it bounds the memory of
the third stage. Left alone: a value with one consumer or with any other kind of consumer, outputs, images that have a
layout, and targets for which an additional kernel costs more than it saves.
"""

from __future__ import annotations

from ..compiler.ir import Graph, Value
from ..compiler.op import Ints
from ..compiler.ops.conv import Conv
from ..compiler.ops.pool import AvgPool
from ..compiler.rewrite import UniqueNames, Writer
from .context import Context


def subsample(graph: Graph, context: Context) -> Graph:
    strides = {v: s for n in graph.nodes for v in n.results if (s := common_stride(v, graph))}
    if not strides or not context.target.subsamples:
        for value in strides:
            context.declined(value, f"is not subsampled: it would add a kernel on {context.target.name}")
        return graph
    writer, names, small = Writer(graph), UniqueNames(graph), dict[Value, Value]()
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        if source not in strides:
            writer.copy(node)
            continue
        assert isinstance(node.op, Conv)
        if source not in small:
            pool = AvgPool(kernel=(1,), stride=strides[source], round="down")
            small[source] = writer.emit(pool, writer[source], name=names.fresh(f"{source.name}.sub"), loc=node.loc)
            context.did(source, f"is subsampled once, at stride {list(strides[source])}")
        rest = (writer[v] for v in node.inputs[1:])
        conv = Conv(groups=node.op.groups)
        writer[node.output] = writer.emit(conv, small[source], *rest, name=node.name, loc=node.loc)
    return writer.finish()


def common_stride(value: Value, graph: Graph) -> Ints:
    """The stride with which all consumers of a value, 1×1 convolutions, read it; () if there is none such."""
    readers = graph.users[value]
    if (
        len(readers) < 2
        or value in graph.output_set
        or value.layout
        or not all(isinstance(n.op, Conv) for n in readers)
    ):
        return ()
    strides = {n.op.geometry(value.type.rank - 2)[0] for n in readers if isinstance(n.op, Conv)}
    pointwise = all(set(n.inputs[1].type.bounds[2:]) == {1} and n.inputs.count(value) == 1 for n in readers)
    unpadded = all(set(n.op.pad) == {0} for n in readers if isinstance(n.op, Conv))
    stride = strides.pop()
    return stride if pointwise and unpadded and not strides and max(stride) > 1 else ()
