"""The networkx view of a graph: small nets whose answers are worked out by hand, and the drawings made from it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from pathlib import Path

import networkx as nx
import pytest
from click.testing import CliRunner

from cortado.cli import main
from cortado.compiler.dot import dot
from cortado.compiler.ir import Graph, Node
from cortado.compiler.text import parse
from cortado.compiler.view import (
    ENTRY,
    EXIT,
    VIEWS,
    ancestors,
    articulation_points,
    longest_path,
    view,
)

from .test_house import loaded_modules

#   x ─ a ─┬─ b ── c ─┬─ d ── e        f reads c and nobody reads it
#          └──────────┘
DIAMOND = """net diamond(x: f32[1,4,4,4]) {
    a = relu(x)
    b = tanh(a)
    c = abs(b)
    d = add(c, a)
    e = sigmoid(d)
    f = exp(c)
    return e
}
"""
TWO = """net two(x: f32[1,2], y: f32[1,3]) {
    weight w: f32[2]
    a = relu(x)
    b = relu(y)
    c = concat(a, b)
    k = relu(w)
    return c, again = a, k, x
}
"""
BRANCHES = """net branches(x: f32[4]) {
    p = abs(x)
    q = tanh(p)
    short = relu(x)
    y = add(q, short)
    return y
}
"""
SLICED = r"""net "a \"b\""(x: f32[1,4]) {
    p, q = slice(x, points=[2])
    y = add(p, relu(q))
    return "y/1" = y
}
"""


def names(nodes: Iterable[Node]) -> list[str]:
    return [n.name for n in nodes]


def edge_names(graph: Graph) -> dict[tuple[str, str], list[str]]:
    made = view(graph)
    label = {ENTRY: ENTRY, EXIT: EXIT} | {n: n.name for n in graph.nodes}
    return {(label[a], label[b]): [v.name for v in carried["values"]] for a, b, carried in made.edges(data=True)}


def test_the_view_has_producers_consumers_and_values() -> None:
    graph = parse(DIAMOND)
    assert list(view(graph)) == [ENTRY, *graph.nodes, EXIT]
    assert edge_names(graph) == {
        ("entry", "a"): ["x"],
        ("a", "b"): ["a"],
        ("b", "c"): ["b"],
        ("c", "d"): ["c"],
        ("a", "d"): ["a"],
        ("d", "e"): ["d"],
        ("c", "f"): ["c"],
        ("e", "exit"): ["e"],
    }


def test_inputs_and_weights_come_from_entry_and_all_that_is_returned_leads_to_exit() -> None:
    found = edge_names(parse(TWO))
    assert found["entry", "a"] == ["x"] and found["entry", "b"] == ["y"]
    assert found["entry", "k"] == [], "weights are no edges, but nothing stands unconnected"
    assert found["a", "exit"] == ["a"] and found["c", "exit"] == ["c"] and found["entry", "exit"] == ["x"]


def test_several_values_between_two_nodes_are_one_edge() -> None:
    found = edge_names(
        parse("net n(x: f32[1,4]) {\n    p, q = slice(x, points=[2])\n    y = add(p, q)\n    return y\n}\n")
    )
    assert found["p", "y"] == ["p", "q"]


def test_a_view_is_frozen_and_made_once_for_a_graph() -> None:
    graph = parse(DIAMOND)
    made = view(graph)
    assert view(graph) is made
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        made.add_edge(ENTRY, EXIT)
    count = len(VIEWS)
    del graph
    gc.collect()
    assert len(VIEWS) < count, "a view does not keep its graph"


def test_longest_path() -> None:
    graph = parse(DIAMOND)
    assert names(longest_path(graph, lambda n: 1)) == ["a", "b", "c", "d", "e"], "f leads to no output"
    heavy = {"short": 100, "p": 1, "q": 1}
    both = parse(BRANCHES)
    assert names(longest_path(both, lambda n: 1)) == ["p", "q", "y"]
    assert names(longest_path(both, lambda n: heavy.get(n.name, 0))) == ["short", "y"]


def test_articulation_points() -> None:
    assert names(articulation_points(parse(DIAMOND))) == ["a", "d", "e"]
    assert names(articulation_points(parse(TWO))) == [], "whichever is taken out, the rest hangs together"


def test_a_net_without_nodes() -> None:
    graph = parse("net n(x: f32[4]) {\n    return x\n}\n")
    assert longest_path(graph, lambda n: 1) == [] and articulation_points(graph) == []
    nothing = parse("net n(x: f32[4]) {\n    y = relu(x)\n    return\n}\n")
    assert longest_path(nothing, lambda n: 1) == []


def test_ancestors() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "d"), ("e", "d"), ("c", "f")]
    assert ancestors(edges, ["c"]) == {"a", "b", "c"}
    assert ancestors(edges, ["c", "d"]) == {"a", "b", "c", "d", "e"}
    assert ancestors(edges, ["alone"]) == {"alone"} and ancestors(edges, []) == set()


def test_a_drawing() -> None:
    assert dot(parse(SLICED)) == (
        r'digraph "a \"b\"" {'
        + r"""
    node [shape=box]
    i0 [label="x\nf32[1,4]", shape=ellipse]
    n0 [label="p, q\nslice\nf32[1,2], f32[1,2]", peripheries=2, penwidth=3]
    n1 [label="y.1\nrelu\nf32[1,2]", penwidth=3]
    n2 [label="y\nadd\nf32[1,2]", peripheries=2, penwidth=3]
    o0 [label="y/1", shape=ellipse]
    i0 -> n0
    n0 -> n1 [label="q", penwidth=3]
    n0 -> n2 [label="p"]
    n1 -> n2 [penwidth=3]
    n2 -> o0
}
"""
    )


def show_dot(path: Path, *options: str) -> str:
    done = CliRunner().invoke(main, ["show", str(path), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_show_draws_a_net(tmp_path: Path) -> None:
    path = tmp_path / "n.net"
    path.write_text(DIAMOND)
    assert show_dot(path, "--dot") == dot(parse(DIAMOND))
    after = show_dot(path, "--dot", "--after", "plan_memory")
    assert after.startswith('digraph "diamond" {') and "\\nexp\\n" not in after, "dead code is gone by then"
    told = json.loads(show_dot(path, "--dot", "--json"))
    assert (told["net"], told["stage"], told["dot"]) == ("diamond", "read", dot(parse(DIAMOND)))
    refused = CliRunner().invoke(main, ["show", str(path), "--dot", "--why"])
    assert refused.exit_code == 2 and "--dot and --why cannot be combined" in refused.output


def test_networkx_is_imported_by_the_first_view_only() -> None:
    assert "networkx" not in loaded_modules("import cortado.driver, cortado.compiler.view")
