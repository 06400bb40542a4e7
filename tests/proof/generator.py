"""Generates a net from a number: random inputs, operators and outputs, sometimes with layouts, placements and kernels.

The same number gives the same net in every process and on every machine, as long as the strategies do not change;
therefore nets that fail are saved as text (cases/*.net).
"""

from __future__ import annotations

from collections.abc import Iterator

from cortado.compiler.ir import Graph, Node, Value
from cortado.compiler.plan import PlannedGraph
from cortado.compiler.text import show
from cortado.compiler.types import AtMost, Dim, TensorType
from cortado.compiler.verify import verify

from .decide import draw_decisions
from .dice import Dice
from .net_builder import NetBuilder, Unfit
from .strategies import Strategy, all_strategies, strategy

MAX_NODES = 16  # operators or motifs that are tried per net
EDITION = 2  # incremented when a change of strategies changes the nets


def net(number: int) -> PlannedGraph:
    """The net with this number, verified, and its random placements.

    Its weights have no data; their names determine it (numbers.py).
    """
    dice = Dice(EDITION, number)
    builder = NetBuilder(dice)
    drawn = list(all_strategies().values())
    for _ in range(dice.between(1, 3)):
        add_input(builder, Value(builder.new_name("x"), TensorType("f32", bound_images(random_dims(dice), number))))
    wanted = dice.between(1, MAX_NODES)
    for _ in range(4 * wanted):
        if len(builder.nodes) >= wanted:
            break
        attempt(builder, drawn[dice.pick_weighted_index([w for w, _ in drawn])][1])
    planned = draw_decisions(with_random_outputs(builder, f"n{number}"), dice)
    verify(*planned)
    return planned


def text(number: int) -> str:
    return show(*net(number))


def draw_nodes(name: str, tries: int) -> Iterator[tuple[Node, NetBuilder]]:
    """Nodes of the operator of this name, each with the builder of its net, from `tries` runs of its strategy."""
    for seed in range(tries):
        builder = NetBuilder(Dice(seed))
        for _ in range(3):
            add_input(builder, builder.new_input("x", *random_dims(builder.dice)))
        try:
            strategy(name)(builder)
        except Unfit:
            continue
        yield from ((node, builder) for node in builder.nodes if node.op.name == name)


def add_input(builder: NetBuilder, value: Value) -> None:
    builder.inputs.append(value)
    builder.numbers[value] = builder.numbers_of(value)


def attempt(builder: NetBuilder, add: Strategy) -> bool:
    """True if the strategy added something; nodes that it adds before it fails are kept."""
    try:
        add(builder)
    except Unfit:
        return False
    return True


def random_dims(dice: Dice) -> tuple[Dim, ...]:
    """Mostly 2-D images; odd sizes, single channels, single pixels, and batch sizes with a bound."""
    rank = dice.pick((4, 4, 4, 4, 3, 5, 2, 2, 1))
    batch: Dim = dice.pick((1, 1, 2, 3))
    if dice.chance(0.08):
        batch = AtMost(dice.between(1, 5))
    channels = dice.pick((1, 2, 3, 4, 4, 6, 8))
    sizes = [dice.pick((1, 2, 3, 4, 5, 6, 7, 9)) for _ in range(rank - 2)]
    if rank == 4 and dice.chance(0.3):
        sizes[1] = sizes[0]
    return (batch, channels, *sizes)[:rank]


def bound_images(dims: tuple[Dim, ...], number: int) -> tuple[Dim, ...]:
    """The dimensions with bounds along image axes, in a few nets.

    Its dice are its own, so that the other nets are what they were before there were such bounds.
    """
    dice = Dice(EDITION, number, 1)
    if not dice.chance(0.08):
        return dims
    return tuple(AtMost(d + dice.pick((0, 2, 5))) if a > 1 and isinstance(d, int) else d for a, d in enumerate(dims))


def with_random_outputs(builder: NetBuilder, name: str) -> Graph:
    """The graph with random outputs: most unused values, some others, rarely an input, a weight, duplicates or none."""
    dice = builder.dice
    read = {v for n in builder.nodes for v in n.inputs}
    made = [v for n in builder.nodes for v in n.results]
    chosen = [v for v in made if (v not in read and dice.chance(0.85)) or dice.chance(0.08)]
    if made and not chosen and dice.chance(0.97):
        chosen = [made[-1]]
    if dice.chance(0.08):
        chosen.append(dice.pick(builder.inputs))
    if builder.constants and dice.chance(0.05):
        chosen.append(dice.pick(builder.constants))
    returns = [(v.name, v) for v in dict.fromkeys(dice.shuffle(chosen))]
    if returns and dice.chance(0.05):
        returns.append((builder.new_name("twice"), returns[0][1]))
    if returns and dice.chance(0.1):
        returns[0] = (builder.new_name("a blob "), returns[0][1])
    return Graph(name, tuple(builder.inputs), tuple(builder.nodes), tuple(returns))
