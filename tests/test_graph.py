"""The graph: what can be asked of it, how one is written from another, and what a place literally means."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch

from cortado.compiler.errors import CompileError, CompileErrors, raise_all
from cortado.compiler.ir import Constant, Graph, Value, declare_weight, handle
from cortado.compiler.kernel import canonical_names
from cortado.compiler.ops.activation import Relu
from cortado.compiler.plan import UNPLANNED, Alias, MemoryPlan, Offset, PlannedGraph
from cortado.compiler.poison import run_poisoned
from cortado.compiler.reference import evaluate, evaluate_blobs
from cortado.compiler.rewrite import UniqueNames, retype, rewrite
from cortado.compiler.storage import LiveRange, live_ranges, reserved_ranges, resolve_storage
from cortado.compiler.text import parse, parse_planned, show
from cortado.compiler.text.show import KEYWORDS
from cortado.compiler.types import AtMost, TensorType, type_of
from cortado.compiler.verify import verify
from cortado.passes import Context, PassFailed, apply, run

F4 = TensorType("f32", (4,))
NET = """
net t(x: f32[1,2,2,2], unused: f32[3]) {
    weight w: f32[2,2,1,1] = [1, 2, 3, 4]
    a = conv(x, w)
    p, q = slice(a, parts=2)
    y = mul(p, p)
    dead = tanh(a)
    return y, "again" = y, w, x
}
"""


def test_what_a_graph_is_asked() -> None:
    graph = parse(NET)
    v = graph.values
    assert [*v] == ["x", "unused", "w", "a", "p", "q", "y", "dead"]
    assert graph.outputs == (v["y"], v["y"], v["w"], v["x"]) and graph.output_set == {v["y"], v["w"], v["x"]}
    assert graph.constants == (v["w"],)
    assert [n.name for n in graph.users[v["a"]]] == ["p", "dead"]
    assert [n.name for n in graph.users[v["p"]]] == ["y"]  # once, though it is read twice
    assert graph.users[v["unused"]] == []
    assert graph.producer[v["q"]] is graph.nodes[1] and v["x"] not in graph.producer
    assert graph.is_only_used_by(v["p"], graph.nodes[2])
    assert not graph.is_only_used_by(v["a"], graph.nodes[1])
    assert not graph.is_only_used_by(v["x"], graph.nodes[0])  # the net returns it
    with pytest.raises(ValueError, match="too many values to unpack"):
        graph.nodes[1].output  # noqa: B018


def test_nothing_is_changed_in_place() -> None:
    graph = parse(NET)
    for thing, field in [(graph, "nodes"), (graph.nodes[0], "op"), (graph.inputs[0], "name"), (Relu(), "slope")]:
        with pytest.raises(FrozenInstanceError):
            setattr(thing, field, None)


def test_values_are_themselves_and_operators_are_their_attributes() -> None:
    assert Value("x", F4) != Value("x", F4)
    assert Relu(slope=0.5) == Relu(slope=0.5) != Relu()
    assert len({Relu(), Relu(), Relu(slope=1)}) == 2


def test_a_handle_is_a_hash_of_type_and_numbers() -> None:
    x = torch.arange(4, dtype=torch.float32)
    assert handle(F4, x) == handle(F4, x.clone()) != handle(F4, x + 1)
    assert handle(F4, x) != handle(TensorType("f32", (2, 2)), x.reshape(2, 2))
    assert handle(type_of(x.int()), x.int()) != handle(F4, x)
    assert handle(type_of(x[0]), x[0]) == handle(type_of(x[:1].squeeze()), x[:1].squeeze())
    wide = torch.arange(8, dtype=torch.float32)[::2]
    assert handle(F4, wide) == handle(F4, wide.contiguous())  # the logical order, not the memory's
    assert len(handle(F4, x)) == 12
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8):
        assert len(handle(type_of(x.to(dtype)), x.to(dtype))) == 12
    assert len(handle(TensorType("f32", (0,)), torch.empty(0))) == 12


def test_weights_that_are_only_declared() -> None:
    w = declare_weight("w", F4)
    assert not w.is_bound and w.data.shape == (4,)
    graph = Graph("t", (), (), (("w", w),))
    with pytest.raises(CompileError, match="the weight w has no data"):
        evaluate(graph)


def test_types() -> None:
    t = TensorType("f16", (2, AtMost(3), 4))
    assert str(t) == "f16[2,?3,4]" and t.bounds == (2, 3, 4) and (t.numel, t.nbytes, t.rank) == (24, 48, 3)
    assert not t.is_static and F4.is_static and F4.shape == (4,)
    with pytest.raises(ValueError, match=r"dimension 1 of f16\[2,\?3,4\] has to be known before the net runs"):
        t.shape  # noqa: B018
    assert TensorType("f32", ()).numel == 1


def test_a_rule_answers_with_what_stands_in_a_nodes_place() -> None:
    graph = parse("net t(x: f32[4]) { a = relu(x) b = relu(a) y = tanh(b) return y }")

    def once(node, writer):  # type: ignore[no-untyped-def]
        before = writer.producer.get(writer[node.inputs[0]])
        return before.output if before and before.op == node.op == Relu() else None

    made = rewrite(graph, once)
    assert show(made) == ("net t(x: f32[4]) {\n    a: f32[4] = relu(x)\n    y: f32[4] = tanh(a)\n    return y\n}\n")
    assert graph.nodes[0] is made.nodes[0]  # what is the same is kept as it is
    assert len(graph.nodes) == 3


def test_what_the_outputs_do_not_need_is_left_behind() -> None:
    made = rewrite(parse(NET), lambda node, writer: None)
    assert [n.name for n in made.nodes] == ["a", "p", "y"]


PLANNED = (
    "net t(x: f32[1,4,1,1]) arena 128 { a = relu(x) at 0 b = tanh(a) over a c = abs(b) at 64 d = sigmoid(c) over c"
    " return d }"
)


def test_another_graph_has_no_plan_yet() -> None:
    planned = parse_planned(PLANNED)
    graph = planned.graph

    def drop_b(graph: Graph, context: Context) -> Graph:
        return rewrite(graph, lambda node, writer: writer[node.inputs[0]] if node.name == "b" else None)

    context = Context()
    same = apply(lambda_named("keep", lambda graph, context: graph), planned, context)
    assert same is planned and context.notes == []
    fewer = apply(drop_b, planned, context)
    assert [n.name for n in fewer.graph.nodes] == ["a", "c", "d"] and not fewer.plan
    assert [n.sentence for n in context.notes] == ["has changed: its memory plan is dropped"]
    assert planned.plan.alias(graph.values["d"]) is graph.values["c"], "what was read is as it was"


def lambda_named(name: str, function: Any) -> Any:
    function.__name__ = name
    return function


def test_what_a_pass_leaves_is_judged() -> None:
    def reverse(graph: Graph, context: Context) -> Graph:
        return replace(graph, nodes=graph.nodes[::-1])

    def overlay(graph: Graph, plan: MemoryPlan, context: Context) -> MemoryPlan:
        return plan.extend({graph.values["y"]: Alias(graph.values["a"])})

    graph = parse("net t(x: f32[4]) { a = relu(x) y = tanh(a) return y, a }")
    with pytest.raises(PassFailed, match=r"the pass reverse failed on the net t: .*tanh reads a before it is defined"):
        run(graph, Context(), (reverse,))
    with pytest.raises(CompileError, match="y over a: a is live after this node"):
        verify(graph, overlay(graph, UNPLANNED, Context()))


def test_another_input_shape_changes_all_that_follows() -> None:
    graph = parse("net t(x: f32[1,3,8,8]) { weight w: f32[4,3,3,3] c = conv(x, w) f = flatten(c) return f }")
    larger = retype(graph, {"x": TensorType("f32", (2, 3, 9, 5))})
    assert str(larger.values["f"].type) == "f32[2,84]"
    with pytest.raises(ValueError, match="c = conv: the weight takes 3 channels, the data has 4"):
        retype(graph, {"x": TensorType("f32", (1, 4, 8, 8))})


def test_names() -> None:
    names = UniqueNames(parse(NET))
    assert [names.fresh("a"), names.fresh("a"), names.fresh("new"), names.fresh("a.2")] == [
        "a.2",
        "a.3",
        "new",
        "a.2.2",
    ]
    found = [w for w, _ in zip(canonical_names(), range(30_000), strict=False)]
    assert found[:3] == ["a", "b", "c"] and found[26:28] == ["aa", "ab"] and "aaa" in found
    assert KEYWORDS.isdisjoint(found) and len({*found}) == len(found)


def test_meaning_in_another_precision_and_by_name() -> None:
    graph = parse(NET)
    x = torch.ones(1, 2, 2, 2)
    found = evaluate_blobs(graph, {"x": x, "unused": torch.zeros(3)}, torch.float64)
    assert found["a"].dtype == torch.float64 and found["a"][0, :, 0, 0].tolist() == [3, 7]
    assert found["again"].equal(found["y"]) and found["w"].dtype == torch.float64
    assert evaluate_blobs(graph, {"x": x, "unused": torch.zeros(3)})["y"].dtype == torch.float32


def test_where_values_lie_and_how_long() -> None:
    planned = parse_planned(
        "net t(x: f32[1,4,1,1]) { a = relu(x) in y[0:4] b = tanh(a) in y[4:8] c = abs(b) y = concat(a, b)"
        " p, q = slice(y, points=6) in y[0:6], in y[6:8] d = tanh(q) over q return c, d }"
    )
    v, where, life = planned.graph.values, resolve_storage(planned), live_ranges(planned.graph)
    assert {where[v[n]].root for n in "abypqd"} == {v["y"]} and where[v["c"]].root is v["c"]
    assert [where[v[n]].channels for n in "abqdy"] == [range(4), range(4, 8), range(6, 8), range(6, 8), None]
    assert (life[v["a"]], life[v["c"]], life[v["p"]], life[v["d"]]) == (
        LiveRange(0, 3),
        LiveRange(2, 6),
        LiveRange(4, 4),
        LiveRange(5, 6),
    )
    assert reserved_ranges(where, life) == {v["y"]: LiveRange(0, 6), v["c"]: LiveRange(2, 6)}


def test_the_poisoned_run_finds_what_is_overwritten_too_early() -> None:
    """A plan that `verify` would refuse, built by hand: both values in the same bytes."""
    graph, plan = parse_planned(
        "net t(x: f32[4]) arena 128 { a = relu(x) at 0 b = tanh(x) at 64 y = add(a, b) at 64 return y }".replace(
            "at 64 return", "over b return"
        )
    )
    broken = MemoryPlan({**plan.placements, graph.values["b"]: Offset(0)}, plan.arena)
    x = torch.tensor([1.0, 2, 3, 4])
    (right,), (wrong,) = evaluate(graph, x), run_poisoned(PlannedGraph(graph, broken), x)
    torch.testing.assert_close(run_poisoned(PlannedGraph(graph, plan), x)[0], right)
    assert not torch.allclose(wrong, right)


def test_several_complaints_are_told_together() -> None:
    raise_all([])
    with pytest.raises(CompileError, match=r"^one$") as one:
        raise_all([CompileError("one")])
    assert not isinstance(one.value, CompileErrors)
    with pytest.raises(CompileErrors) as both:
        raise_all([CompileError("one", advice="Mend it."), CompileError("two")])
    assert str(both.value) == "one\nMend it.\n\ntwo" and len(both.value.errors) == 2


def test_a_constant_is_hashed_over_a_memory_view() -> None:
    """Numbers mapped from a file that must not be written."""
    data = np.arange(4, dtype=np.float32)
    assert Constant("w", F4, data=torch.from_numpy(data)).handle == handle(F4, torch.arange(4, dtype=torch.float32))
