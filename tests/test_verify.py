"""Every invariant of a graph and of its memory, as a net that breaks it and the sentence that it is refused with.

tests/verify/refused.net holds the nets and, after `---`, what is said of them; allowed.net holds what looks like it and
is right. `====` stands between cases. What no text can say is built by hand below.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph, Node, Value, declare_weight
from cortado.compiler.ops.activation import Relu
from cortado.compiler.ops.shape import Slice
from cortado.compiler.plan import MemoryPlan, Offset
from cortado.compiler.poison import run_poisoned
from cortado.compiler.reference import evaluate
from cortado.compiler.text import parse, parse_planned
from cortado.compiler.types import TensorType
from cortado.compiler.verify import verify
from cortado.passes import Context, run
from cortado.passes.eliminate_dead_code import eliminate_dead_code
from cortado.passes.plan_memory import plan_memory

FOLDER = Path(__file__).with_name("verify")


def cases(file: str) -> dict[str, str]:
    """The cases of a file, by what their first line says."""
    found = (FOLDER / file).read_text("utf-8").split("\n====\n")
    return {"_".join(re.findall(r"\w+", case.split("\n")[0])): case for case in found}


REFUSED, ALLOWED = cases("refused.net"), cases("allowed.net")


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    text, sentence = REFUSED[case].split("\n---\n")
    with pytest.raises(CompileError) as caught:
        parse(text, "refused.net")
    assert sentence.strip() in caught.value.message


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed(case: str) -> None:
    graph, plan = parse_planned(ALLOWED[case], "allowed.net")
    inputs = [torch.randn(v.type.shape) for v in graph.inputs]
    final = run(graph, Context(), (eliminate_dead_code, plan_memory), plan=plan)
    for a, b in zip(evaluate(graph, *inputs), run_poisoned(final, *inputs), strict=True):
        torch.testing.assert_close(a, b)


X = Value("x", TensorType("f32", (4,)))


def node(name: str, *inputs: Value, type: TensorType = X.type) -> Node:
    return Node(Relu(), inputs, (Value(name, type),))


def slice_node(count: int) -> Node:
    piece = TensorType("f32", (2,))
    return Node(Slice(axis=0, parts=2), (X,), tuple(Value(f"p{i}", piece) for i in range(count)))


A, OTHER = node("a", X), Value("a", X.type)
W = declare_weight("w", X.type)
BROKEN = {
    "two values are called a": Graph("t", (X,), (A, node("a", X)), (("y", A.output),)),
    "two values are called x": Graph("t", (X, Value("x", X.type)), (), ()),
    "an input is given twice": Graph("t", (X, X), (), ()),
    "relu reads a before it is defined": Graph("t", (X,), (node("b", A.output), A), ()),
    "relu reads a before": Graph("t", (X,), (node("b", OTHER),), ()),
    "a is defined twice": Graph("t", (X,), (A, A), ()),
    "the output y is not defined": Graph("t", (X,), (), (("y", OTHER),)),
    "two outputs are called y": Graph("t", (X,), (A,), (("y", A.output), ("y", X))),
    "a is f32[5], and relu gives f32[4]": Graph("t", (X,), (node("a", X, type=TensorType("f32", (5,))),), ()),
    "a is f16[4], and relu gives f32[4]": Graph("t", (X,), (node("a", X, type=TensorType("f16", (4,))),), ()),
    "slice has 2 results, not 1": Graph("t", (X,), (slice_node(1),), ()),
    "slice has 2 results, not 3": Graph("t", (X,), (slice_node(3),), ()),
    "a = relu: takes 1 operand, not 2": Graph("t", (X,), (node("a", X, X),), ()),
}
BROKEN_PLANS = {
    "x is not computed by this net, so it cannot be placed": MemoryPlan({X: Offset(0)}),
    "w is not computed by this net, so it cannot be placed": MemoryPlan({W: Offset(0)}),
    "a at -64: offsets are multiples of 64": MemoryPlan({A.output: Offset(-64)}, 64),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_broken(sentence: str) -> None:
    """Graphs that no text can say."""
    with pytest.raises(CompileError, match=r"^t: ") as caught:
        verify(BROKEN[sentence])
    assert sentence in caught.value.message


@pytest.mark.parametrize("sentence", BROKEN_PLANS)
def test_broken_plans(sentence: str) -> None:
    """Plans that no text can say."""
    with pytest.raises(CompileError, match=r"^t: ") as caught:
        verify(Graph("t", (X,), (A, node("b", W)), ()), BROKEN_PLANS[sentence])
    assert sentence in caught.value.message


def test_a_refusal_has_a_place() -> None:
    text = "net t(x: f32[4]) {\n    a = relu(x)\n    b = tanh(x) over a\n    return b\n}\n"
    with pytest.raises(CompileError) as caught:
        parse(text, "case.net")
    assert str(caught.value).split("\n") == [
        "case.net:3:9: t: b over a: a is not a computed operand",
        "        b = tanh(x) over a",
        "            ^",
    ]
