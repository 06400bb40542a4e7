"""What `infer` says of an operator's results is what the runtime's primitive says of the step that it is lowered to.

Operands and attributes are drawn as for random nets (tests/proof), so a new operator is compared from its first day.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice

import pytest

from cortado.compiler.ir import Constant, Node, Value
from cortado.compiler.op import REGISTRY, Trait
from cortado.compiler.ops.fused import Fused
from cortado.compiler.slots import plan_dims
from cortado.compiler.targets import target as target_of
from cortado.compiler.targets.cuda import lowering as cuda
from cortado.compiler.targets.onednn import target as onednn
from cortado.passes import Context, run
from cortado.runtime.artifact import PRIMITIVE_TABLE, Slot, Step, Weight
from cortado.runtime.primitives import IMPLEMENTATIONS

from .proof.generator import draw_nodes, net
from .proof.strategies import NOT_DRAWN

TARGETS = ("onednn", "cuda")
DRAWN, TRIES = 8, 400  # nodes of each operator; seeds that may be tried for them
NETS = 60
COUNTED = {"box_output", "detection_output", "filter", "proposals", "yolo_detections"}  # known after the run
# What depends on shapes alone is computed while compiling and never lowered.
LOWERED = {n for n, cls in REGISTRY.items() if n not in NOT_DRAWN and Trait.SHAPE_ONLY not in cls.traits}

Shape = tuple[int, ...]


def lower_to_step(node: Node, target: str) -> Step | None:
    """The primitive that computes a node; None if it is a kernel of the target's own."""
    if target == "onednn":
        return onednn.lower_node(node)
    lowered = cuda.lower_node(node, {v.name: slot_or_weight(v) for v in (*node.inputs, *node.results)})
    return lowered.step if isinstance(lowered, cuda.HostNode) else None


def slot_or_weight(value: Value) -> Slot | Weight:
    if isinstance(value, Constant):
        return Weight(value.type.dtype, value.type.shape, "")
    return Slot(value.type.dtype, plan_dims(value.type), value.layout or "nchw", 0)


def shapes_of_step(step: Step, node: Node, operands: dict[str, Shape]) -> Sequence[Shape] | None:
    """What the primitive makes of operands of these shapes; None if it does not know before it has run."""
    infer_shapes = IMPLEMENTATIONS[step.kind].infer_shapes
    if infer_shapes is None:
        return None
    attributes = PRIMITIVE_TABLE[step.kind].complete(step.payload)
    planned = [plan_dims(v.type) for v in node.results]
    return [tuple(shape) for shape in infer_shapes(attributes, [operands[name] for name in step.operands], planned)]


@cache
def drawn_nodes(name: str) -> tuple[tuple[Node, dict[str, Shape]], ...]:
    """Nodes of an operator, each with the shapes of its operands and results in one run."""
    found = islice(draw_nodes(name, TRIES), DRAWN)
    return tuple((n, {v.name: tuple(b.numbers[v][0].shape) for v in (*n.inputs, *n.results)}) for n, b in found)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", sorted(LOWERED))
def test_infer_agrees_with_the_primitive(name: str, target: str) -> None:
    assert drawn_nodes(name)
    for node, shapes in drawn_nodes(name):
        step = lower_to_step(node, target)
        if step is None:
            continue
        at_most = shapes_of_step(step, node, {v.name: v.type.bounds for v in node.inputs})
        assert (at_most is None) == (name in COUNTED)
        if at_most is not None:
            assert at_most == [t.bounds for t in node.inferred_types]
            assert shapes_of_step(step, node, shapes) == [shapes[v.name] for v in node.results]


def test_fused_nodes_agree_with_their_primitives() -> None:
    """On the CPU: a GPU's fused nodes are all kernels of its own."""
    fused = 0
    for number in range(NETS):
        for node in run(net(number).graph, Context(target_of("onednn"))).graph.nodes:
            if isinstance(node.op, Fused):
                shapes = shapes_of_step(onednn.lower_node(node), node, {v.name: v.type.bounds for v in node.inputs})
                assert shapes == [t.bounds for t in node.inferred_types], f"net {number}: {node.name}"
                fused += 1
    assert fused > NETS // 2
