"""Give the storage of an image the border of zeros that the kernels which read it want.

    a = relu(x)                         a = relu(x) halo 1:1
    y = conv(a, w, pad=1)       =>      y = conv(a, w, pad=1)

A kernel whose window leaves the image then reads zeros, and needs no code for edges. All values of one storage share
the border: it is the smallest that holds what each reader asks for. Offsets that a plan has already are dropped, since
sizes change. Left alone: inputs of the net, images in nchw or of
unknown size, and storage that some value reads in another shape; such a kernel is left to the host.
"""

from __future__ import annotations

from ..compiler.ir import Graph, Value
from ..compiler.kernel import external_operands, kernel_graph
from ..compiler.ops.fused import Fused
from ..compiler.plan import NO_HALO, Halo, MemoryPlan, Offset, PlannedGraph, can_have_halo
from ..compiler.storage import matches_except_channels, resolve_storage
from .context import Context


def add_halos(graph: Graph, plan: MemoryPlan, context: Context) -> MemoryPlan:
    storages, wanted = resolve_storage(PlannedGraph(graph, plan)), dict[Value, Halo]()
    for node in graph.nodes:
        kernel = kernel_graph(node)
        for i, operand in enumerate(node.inputs if isinstance(node.op, Fused) else external_operands([node])):
            halo = context.target.halo(kernel, i)
            if halo != NO_HALO and operand in storages:
                root = storages[operand].root
                wanted[root] = wanted.get(root, NO_HALO).join(halo)
    reshaped = {s.root for v, s in storages.items() if not matches_except_channels(v, s.root)}
    for root in list(wanted):
        if not can_have_halo(root) or root in reshaped:
            del wanted[root]
            context.declined(root, "has no halo: its channels are not innermost, or it is read in another shape, too")
        else:
            context.did(root, f"has a halo of {wanted[root].before} and {wanted[root].after} pixels")
    if wanted == plan.halos:
        return plan
    return MemoryPlan({v: p for v, p in plan.placements.items() if not isinstance(p, Offset)}, None, wanted)
