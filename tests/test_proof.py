"""Random nets keep their meaning through every pass, alone and in any order, and through the runtime (tests/proof).

150 nets here, in chunks that run beside each other; `make prove N=2000`, which CI runs, takes more. A net that fails is
named by its number: `python -m tests.proof 4711 --save` shrinks it and keeps it in tests/proof/cases.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cortado import passes
from cortado.compiler.ir import Graph
from cortado.compiler.op import REGISTRY
from cortado.compiler.ops.activation import Relu
from cortado.compiler.plan import Alias, Offset, Subview
from cortado.compiler.rewrite import UniqueNames, Writer
from cortado.compiler.text import parse_planned, show
from cortado.passes import Context

from .proof.check import check, random_order
from .proof.dice import Dice
from .proof.generator import draw_nodes, net, text
from .proof.reducer import reduce_failure
from .proof.saved_cases import CASES, replay_case, save_case
from .proof.strategies import NOT_DRAWN
from .proof.trial import PIPELINE_NAMES, NetUnderTrial, Trial

NETS, CHUNK = 150, 6
TRIES = 400  # drafts in which an operator has to be drawn at least once


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("first", range(0, NETS, CHUNK))
def test_nets_keep_their_meaning(first: int) -> None:
    found = [f"net {n}: {failure}" for n in range(first, first + CHUNK) for failure in check(n)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", sorted(CASES.glob("*.net")), ids=lambda p: p.stem)
def test_what_failed_once_holds(path: Path, c_compiler: None) -> None:
    failure = replay_case(path)
    assert failure is None, str(failure)


@pytest.mark.parametrize("name", sorted(REGISTRY.keys() - NOT_DRAWN.keys()))
def test_every_operator_is_drawn(name: str) -> None:
    """By its own strategy or by its signature; one that cannot be drawn gets a strategy, or a reason why not."""
    assert next(draw_nodes(name, TRIES), None), f"no net has {name}"


def test_what_is_not_drawn_is_there() -> None:
    assert NOT_DRAWN.keys() <= REGISTRY.keys()


def test_nets_have_what_passes_have_to_respect() -> None:
    """Layouts, places, kernels, unknown dimensions, several results, dead nodes, shared weights, odd outputs."""
    found = [net(n) for n in range(150)]
    nets, plans = [graph for graph, _ in found], [plan for _, plan in found]
    placements = [p for plan in plans for p in plan.placements.values()]
    values = [[v for n in g.nodes for v in n.results] for g in nets]
    assert any(v.layout == "nhwc" for made in values for v in made)
    assert {type(p) for p in placements} == {Alias, Offset, Subview}
    assert any(plan.arena is not None for plan in plans) and any("kernel" in show(g) for g in nets)
    assert any(not v.type.is_static for made in values for v in made)
    assert any(len(n.results) > 1 for g in nets for n in g.nodes)
    assert any(set(g.outputs) & set(g.inputs) for g in nets) and any(set(g.outputs) & set(g.constants) for g in nets)
    assert any(not g.users[v] and v not in g.output_set for g, made in zip(nets, values, strict=True) for v in made)
    assert any(len(g.users[c]) > 1 for g in nets for c in g.constants)
    assert {v.type.rank for made in values for v in made} >= {0, 1, 2, 3, 4, 5}


def test_a_number_names_a_net() -> None:
    assert text(17) == text(17) != text(18)
    assert show(*parse_planned(text(17))) == text(17)


def test_an_order_has_every_pass() -> None:
    for target in ("onednn", "cuda-f16"):
        assert set(random_order(Dice(1), target)) == set(PIPELINE_NAMES)


def add_relu_after_tanh(graph: Graph, context: Context) -> Graph:
    """A pass with a mistake: a relu behind every tanh."""
    writer, names = Writer(graph), UniqueNames(graph)
    for node in graph.nodes:
        writer.copy(node)
        if node.op.name == "tanh":
            writer[node.output] = writer.emit(Relu(), writer[node.output], name=names.fresh("wrong"))
    return writer.finish()


LARGE = """
net large(x1: f32[2,4,6,6]) {
    weight w1: f32[8,4,3,3]
    weight w2: f32[8]
    a = conv(x1, w1, pad=1)
    b = batch_norm(a, w2, w2, eps=3)
    c = tanh(b)
    d = max_pool(c, kernel=2, stride=2)
    e = add(d, d, beta=0.5)
    return e, b, x1
}
"""


def test_a_failure_is_shrunk_to_a_few_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(passes, "simplify", add_relu_after_tanh)
    planned, trial = (
        parse_planned(LARGE),
        Trial("onednn", ("share_weights", "simplify", "eliminate_common_subexpressions")),
    )
    failure = NetUnderTrial(planned).find_failure(trial)
    assert failure is not None and failure.kind == "numbers" and failure.after == "simplify"
    small, shorter = reduce_failure(planned, failure)
    assert shorter.passes == ("simplify",) and [n.op.name for n in small.graph.nodes] == ["tanh"]
    assert small.graph.inputs[0].type.numel <= 4
    path = save_case(small, shorter, failure, "net 1", tmp_path)
    again = replay_case(path)
    assert again is not None and again.category == failure.category
    monkeypatch.undo()
    assert replay_case(path) is None
