"""What holds for every net: random ones, made by hypothesis, are printed, read, compiled and run.

A net grows value by value from images of 4 channels and 6 × 6 pixels; each new value reads values that are there.
"""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortado.compiler.build import build
from cortado.compiler.ir import Constant, Graph, Value
from cortado.compiler.plan import UNPLANNED, PlannedGraph
from cortado.compiler.poison import run_poisoned
from cortado.compiler.reference import evaluate
from cortado.compiler.rewrite import Writer
from cortado.compiler.targets import target
from cortado.compiler.text import parse, parse_planned, show
from cortado.compiler.text.weights import weights_by_handle
from cortado.compiler.verify import verify
from cortado.passes import PIPELINE, Context, run
from cortado.passes.plan_memory import arena_bound, lower_bound, root_live_ranges, root_sizes
from cortado.runtime import Net

STEPS = [
    "{n} = relu({a})",
    "{n} = relu({a}, slope=0.25)",
    "{n} = tanh({a})",
    "{n} = elu(abs({a}), alpha=0.5)",
    "{n} = dropout({a})",
    "{n} = power({a}, power=2, scale=0.5, shift=-0.25)",
    "{n} = add({a}, {b})",
    "{n} = add({a}, {b}, alpha=0.5, beta=-1)",
    "{n} = mul({a}, sigmoid({b}))",
    "{n} = max({a}, {b})",
    "{n} = prelu({a}, four)",
    "{n} = scale({a}, four)",
    "{n} = scale({a}, one, one)",
    "{n} = batch_norm({a}, four, four)",
    "{n} = scale(batch_norm(conv({a}, three, pad=1), four, four), four, four)",
    "{n} = relu(add(conv({a}, three, four, pad=1), {b}))",
    "{n} = conv({a}, depth, four, pad=1, groups=4)",
    "{n} = scale(conv({a}, depth, pad=1, groups=4), four)",
    "{n} = conv(concat({a}, {b}), mix)",
    "{n} = concat(conv({a}, half), tanh(conv({b}, half)))",
    "{n}.p, {n}.q = slice({a}, parts=2)\n    {n} = concat({n}.q, relu({n}.p))",
    "{n}.p, {n}.q, {n}.r = slice({a}, points=[1, 2])\n    {n} = concat({n}.r, {n}.p, tanh({n}.p))",
    "{n} = max_pool({a}, kernel=3, pad=1)",
    "{n} = avg_pool({a}, kernel=3, pad=1)",
    "{n} = lrn({a}, size=3)",
    "{n} = softmax({a})",
    "{n} = reshape(relu(reshape({a}, shape=[0, 9, 16])), shape=[0, 4, 6, 6])",
    "{n}.p, {n}.q = slice({a}, axis=2, parts=2)\n    {n} = concat({n}.q, {n}.p, axis=2)",
]
WEIGHTS = {
    "one": "",
    "four": "4",
    "three": "4,4,3,3",
    "depth": "4,1,3,3",
    "mix": "4,8,1,1",
    "half": "2,4,1,1",
    "out": "3,144",
}


@st.composite
def nets(draw: st.DrawFn) -> str:
    values, lines = ["x"], []
    for i in range(draw(st.integers(1, 14))):
        a, b = (draw(st.sampled_from(values[-4:])) for _ in range(2))
        lines.append(draw(st.sampled_from(STEPS)).format(n=f"v{i}", a=a, b=b))
        values.append(f"v{i}")
    if draw(st.booleans()):
        lines.append(f"y = softmax(linear({values[-1]}, out))")
        values.append("y")
    returned = [values[-1], *draw(st.lists(st.sampled_from(values[:-1]), max_size=2, unique=True))]
    body = [f"weight {name}: f32[{shape}]" for name, shape in WEIGHTS.items()] + lines
    return f"net t(x: f32[2,4,6,6]) {{\n    {chr(10).join(body)}\n    return {', '.join(returned)}\n}}\n"


def fill_weights(graph: Graph) -> Graph:
    """With random positive numbers for weights, the same each time."""
    writer, generator = Writer(graph), torch.Generator().manual_seed(0)
    for c in graph.constants:
        writer[c] = Constant(c.name, c.type, data=torch.rand(c.type.shape, generator=generator) * 0.5 + 0.05)
    for node in graph.nodes:
        writer.copy(node)
    return writer.finish()


QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@given(nets())
@QUICK
def test_any_net_prints_and_reads_back(text: str) -> None:
    graph = parse(text)
    assert show(parse(show(graph))) == show(graph)
    bound = fill_weights(graph)
    assert show(parse(show(bound), weights=weights_by_handle(bound))) == show(bound)


@given(nets())
@QUICK
def test_any_net_keeps_its_meaning_through_all_passes(text: str) -> None:
    """After each pass: the graph holds, reads back, and gives the numbers; the artifact gives them, run twice."""
    graph = fill_weights(parse(text))
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    expected = evaluate(graph, x)
    after: dict[str, PlannedGraph] = {}
    final = run(graph, Context(target("onednn")), PIPELINE, after.__setitem__)
    for name, made in after.items():
        again = parse_planned(show(*made), f"{name}.net", weights_by_handle(made.graph))
        assert show(*again) == show(*made), name
        assert_close(evaluate(verify(*made), x), expected, name)
        again = run(again.graph, Context(target("onednn")), PIPELINE, plan=again.plan)
        assert show(*again) == show(*final), f"compiled from the dump after {name} it is another net"
    assert_close(run_poisoned(final, x), expected, "poisoned")
    net = Net.from_artifact(build(final, graph, "onednn"))
    for _ in range(2):
        results = net(x=x)
        assert_close(tuple(results[name] for name, _ in graph.returns), expected, "cpu")


@given(nets())
@QUICK
def test_no_plan_is_smaller_than_its_bound(text: str) -> None:
    final = run(fill_weights(parse(text)), Context(target("onednn")))
    bound = arena_bound(final)
    assert final.plan.arena is not None and bound <= final.plan.arena <= 1.5 * bound


@given(nets())
@QUICK
def test_the_bound_of_memory_is_the_heaviest_clique_of_the_interval_graph(text: str) -> None:
    """Values that are live at one step are pairwise in conflict, and intervals that conflict pairwise share a step."""
    spans = root_live_ranges(PlannedGraph(parse(text), UNPLANNED))
    sizes = root_sizes(UNPLANNED, spans)
    together: nx.Graph[Value] = nx.Graph()
    together.add_nodes_from(spans)
    for (a, one), (b, other) in combinations(spans.items(), 2):
        if one.first <= other.last and other.first <= one.last:
            together.add_edge(a, b)
    heaviest = max(sum(sizes[v] for v in clique) for clique in nx.find_cliques(together))
    assert lower_bound(spans, sizes) == heaviest


def assert_close(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...], where: str) -> None:
    for a, b in zip(found, expected, strict=True):
        largest = b.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(a / largest, b / largest, rtol=0, atol=1e-5, msg=lambda m: f"{where}: {m}")
