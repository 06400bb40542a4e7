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
from cortado.compiler.ir import Graph, Node, Place, Subview, Value
from cortado.compiler.memory import ALIGN
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
    graph = run(parse(random_net(chance), "random.net"), Context(target("cpu")))
    inputs = [torch.randn(v.type.shape) for v in graph.inputs]
    expected = evaluate(graph, *inputs)
    for _ in range(25):
        broken = mutated(graph, chance)
        try:
            verify(broken)
        except CompileError:
            refused += 1
            continue
        on_the_cpu = Net.from_artifact(build(broken, broken, "cpu"))({"x": inputs[0]})
        for got in (run_poisoned(broken, *inputs), on_the_cpu.values()):
            for a, b in zip(expected, got, strict=True):
                assert torch.allclose(a, b, atol=1e-4), show(broken)
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


def mutated(graph: Graph, chance: random.Random) -> Graph:
    """The graph with one computed value in another place, or a smaller arena."""
    values = [v for n in graph.nodes for v in n.results]
    value = chance.choice(values)
    assert graph.arena is not None
    node = graph.producer[value]
    anywhere = Place(value.layout, at=chance.randrange(0, graph.arena + ALIGN, ALIGN))
    other = chance.choice(values)
    options = [anywhere, anywhere, replace(value.place, layout=chance.choice(["nchw", "nhwc", None]))]
    if node.inputs:
        options.append(Place(value.layout, over=chance.choice(node.inputs).name))
    if value.type.rank == other.type.rank == 4:
        first = chance.randrange(0, other.type.shape[1])
        options.append(Place(value.layout, within=Subview(other.name, first, first + value.type.shape[1])))
    if (part := value.place.within) is not None:
        step = chance.choice([-2, -1, 1, 2])
        options.append(replace(value.place, within=Subview(part.root, max(part.first + step, 0), part.stop + step)))
    return moved(graph, value, chance.choice(options))


def moved(graph: Graph, value: Value, place: Place) -> Graph:
    new = replace(value, place=place)

    def swapped(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(new if v is value else v for v in values)

    nodes = tuple(Node(n.op, swapped(n.inputs), swapped(n.results), n.loc) for n in graph.nodes)
    returns = tuple((name, new if v is value else v) for name, v in graph.returns)
    return Graph(graph.name, graph.inputs, nodes, returns, graph.arena)
