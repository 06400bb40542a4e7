"""Plans broken at random: whatever `verify` lets pass computes the right numbers.

Between poisoned bytes, and on the CPU. A plan that is let pass and computes others would be a hole in `verify`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from cortado.compiler.build import build
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph, Node, Value
from cortado.compiler.memory import ALIGN
from cortado.compiler.plan import Alias, MemoryPlan, Offset, Placement, PlannedGraph, Subview
from cortado.compiler.poison import run_poisoned
from cortado.compiler.reference import evaluate
from cortado.compiler.targets import target
from cortado.compiler.text import parse, show
from cortado.compiler.verify import verify
from cortado.passes import Context, run
from cortado.runtime import Net

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_let_pass_computes_the_right_numbers(seed: int) -> None:
    """Plans of random nets with one place broken: refused, or as good as before between poisoned bytes."""
    chance, refused = random.Random(seed), 0
    torch.manual_seed(seed)
    graph, plan = run(parse(random_net(chance), "random.net"), Context(target("onednn")))
    inputs = [torch.randn(v.type.shape) for v in graph.inputs]
    expected = evaluate(graph, *inputs)
    for _ in range(25):
        broken = mutate(PlannedGraph(graph, plan), chance)
        try:
            verify(*broken)
        except CompileError:
            refused += 1
            continue
        on_the_cpu = Net.from_artifact(build(broken, broken.graph, "onednn"))({"x": inputs[0]})
        for got in (run_poisoned(broken, *inputs), on_the_cpu.values()):
            for a, b in zip(expected, got, strict=True):
                assert torch.allclose(a, b, atol=1e-4), show(*broken)
    assert refused >= 8, f"{refused} of 25 broken plans were refused"


def random_net(chance: random.Random) -> str:
    """A net of convolutions, sums, concats, slices, reshapes and chains that read each other; images of 4 channels."""
    values, lines = ["x"], []

    def one() -> str:
        return chance.choice(values[-5:])

    makers: list[Callable[[], str]] = [
        lambda: f"relu({one()})",
        lambda: f"tanh({one()})",
        lambda: f"add({one()}, {one()})",
        lambda: f"conv({one()}, {chance.choice('vw')}, pad=1)",
        lambda: f"max_pool({one()}, kernel=3, pad=1)",
        lambda: f"conv(concat({one()}, {one()}), u)",
        lambda: f"concat(conv({one()}, h), tanh(conv({one()}, h)))",
        lambda: f"reshape(tanh({one()}), shape=[0, 0, 9, 4])",
    ]
    for i in range(chance.randint(4, 12)):
        if chance.random() < 0.2:
            lines += [f"p{i}, q{i} = slice({one()}, parts=2)", f"v{i} = concat(q{i}, relu(p{i}))"]
        else:
            call = chance.choice(makers)()
            if "shape=" in call:
                lines += [f"r{i} = {call}", f"v{i} = reshape(r{i}, shape=[0, 0, 6, 6])"]
            else:
                lines.append(f"v{i} = {call}")
        values.append(f"v{i}")
    weights = {"v": "4,4,3,3", "w": "4,4,3,3", "u": "4,8,1,1", "h": "2,4,1,1"}
    declared = []
    for name, shape in weights.items():
        count = eval(shape.replace(",", "*"))
        numbers = ", ".join(f"{chance.uniform(-0.5, 0.5):.3f}" for _ in range(count))
        declared.append(f"weight {name}: f32[{shape}] = [{numbers}]")
    body = "\n".join(f"    {l}" for l in declared + lines)
    return f"net random(x: f32[1,4,6,6]) {{\n{body}\n    return {', '.join(sorted({values[-1], one()} - {'x'}))}\n}}\n"


def mutate(planned: PlannedGraph, chance: random.Random) -> PlannedGraph:
    """The graph with one computed value in another place or layout."""
    graph, plan = planned
    values = [v for n in graph.nodes for v in n.results]
    value = chance.choice(values)
    assert plan.arena is not None
    node = graph.producer[value]
    anywhere = Offset(chance.randrange(0, plan.arena + ALIGN, ALIGN))
    other = chance.choice(values)
    options: list[Placement | str | None] = [anywhere, anywhere, chance.choice(["nchw", "nhwc", None])]
    if node.inputs:
        options.append(Alias(chance.choice(node.inputs)))
    if value.type.rank == other.type.rank == 4:
        first = chance.randrange(0, other.type.shape[1])
        options.append(Subview(other, first, first + value.type.shape[1]))
    if (part := plan.subview(value)) is not None:
        step = chance.choice([-2, -1, 1, 2])
        options.append(Subview(part.root, max(part.first + step, 0), part.stop + step))
    match chance.choice(options):
        case Offset() | Alias() | Subview() as placement:
            return PlannedGraph(graph, MemoryPlan({**plan.placements, value: placement}, plan.arena))
        case layout:
            return with_layout(planned, value, layout)


def with_layout(planned: PlannedGraph, value: Value, layout: str | None) -> PlannedGraph:
    """The same graph with a value in another layout, and the plan for it."""
    graph, plan = planned
    new = replace(value, layout=layout)

    def swap(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(new if v is value else v for v in values)

    def move(placement: Placement) -> Placement:
        match placement:
            case Alias(operand) if operand is value:
                return Alias(new)
            case Subview(root, first, stop) if root is value:
                return Subview(new, first, stop)
        return placement

    nodes = tuple(Node(n.op, swap(n.inputs), swap(n.results), n.loc) for n in graph.nodes)
    returns = tuple((name, new if v is value else v) for name, v in graph.returns)
    placements = {new if v is value else v: move(placement) for v, placement in plan.placements.items()}
    return PlannedGraph(Graph(graph.name, graph.inputs, nodes, returns), MemoryPlan(placements, plan.arena))
