"""Each function of the closed list at its edges, once against numbers worked out by hand: on tensors, and as an `expr`.

The second is the same body recorded and run by the runtime, so the two spellings of the list cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from cortado.compiler.build import build
from cortado.compiler.codegen.record import record
from cortado.compiler.ir import Graph, Node, Value
from cortado.compiler.op import Elementwise
from cortado.compiler.ops.activation import Elu, Relu
from cortado.compiler.recorder import Recorder
from cortado.compiler.reference import evaluate
from cortado.compiler.scalar import FUNCTIONS, OPERATORS, TENSORS
from cortado.compiler.targets import target
from cortado.compiler.text import parse
from cortado.compiler.types import TensorType
from cortado.passes import Context, run
from cortado.runtime import Net
from cortado.runtime.artifact import EXPR_FUNCTIONS as RUNTIME_FUNCTIONS

INF, NAN = math.inf, math.nan
E = math.e
LARGEST = 3.4028234663852886e38

Numbers = list[float]
EDGES: dict[str, list[tuple[tuple[Numbers, ...], Numbers]]] = {
    # function: (arguments, results), number by number
    "exp": [(([0, 1, -1, -INF, INF, NAN, 89, -104],), [1, E, 1 / E, 0, INF, NAN, INF, 0])],
    "log": [(([1, E, 0, -0.0, -1, INF, NAN],), [0, 1, -INF, -INF, NAN, INF, NAN])],
    "log1p": [(([0, -0.0, 1e-10, -1, -2, INF, NAN],), [0, -0.0, 1e-10, -INF, NAN, INF, NAN])],
    "expm1": [(([0, -0.0, 1e-10, 1, -INF, INF, NAN],), [0, -0.0, 1e-10, E - 1, -1, INF, NAN])],
    "sqrt": [(([0, -0.0, 4, 2, -1, INF, NAN],), [0, -0.0, 2, math.sqrt(2), NAN, INF, NAN])],
    "rsqrt": [(([0, -0.0, 4, -1, INF, NAN],), [INF, -INF, 0.5, NAN, 0, NAN])],
    "pow": [
        (([2, 2, -2, -2, -2, 0, 0, 0], [3, -1, 2, 3, 0.5, 0, -1, 2]), [8, 0.5, 4, -8, NAN, 1, INF, 0]),
        (([-0.0, -0.0, 1, NAN, INF, INF, -INF, 0.5], [-1, 2, NAN, 0, -1, 0, 3, INF]), [-INF, 0, 1, 1, 0, 1, -INF, 0]),
        (([-INF, -0.0, -INF, 4, 4], [0.5, 0.5, -0.5, 0.5, -0.5]), [INF, 0, 0, 2, 0.5]),
    ],
    "abs": [(([0, -0.0, -1.5, 1.5, -INF, NAN],), [0, 0, 1.5, 1.5, INF, NAN])],
    "maximum": [
        (([1, 2, NAN, 1, NAN, -INF, INF], [2, 1, 1, NAN, NAN, 3, 3]), [2, 2, NAN, NAN, NAN, 3, INF]),
    ],
    "minimum": [
        (([1, 2, NAN, 1, NAN, -INF, INF], [2, 1, 1, NAN, NAN, 3, 3]), [1, 1, NAN, NAN, NAN, -INF, 3]),
    ],
    "tanh": [(([0, -0.0, 0.5, 20, -20, INF, -INF, NAN],), [0, -0.0, math.tanh(0.5), 1, -1, 1, -1, NAN])],
    "sigmoid": [(([0, 1, -1, 200, -200, INF, -INF, NAN],), [0.5, E / (1 + E), 1 / (1 + E), 1, 0, 1, 0, NAN])],
    "floor": [(([1.5, -1.5, -0.5, 2, -0.0, INF, -INF, NAN],), [1, -2, -1, 2, -0.0, INF, -INF, NAN])],
    "ceil": [(([1.5, -1.5, -0.5, 2, 0.5, INF, -INF, NAN],), [2, -1, -0.0, 2, 1, INF, -INF, NAN])],
    "round": [(([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 3.7, INF, NAN],), [0, 2, 2, -0.0, -2, 0, 4, INF, NAN])],
    "sign": [(([3, -3, 0, INF, -INF, 1e-45],), [1, -1, 0, 1, -1, 1])],
    "erf": [(([0, 0.5, -0.5, 5, INF, -INF, NAN],), [0, math.erf(0.5), -math.erf(0.5), 1, 1, -1, NAN])],
    "where": [(([1, 0, 1, 0], [1, 2, 3, NAN], [NAN, 6, 7, 8]), [1, 6, 3, 8])],
    "add": [(([1, INF, INF, NAN, LARGEST], [2, 1, -INF, 1, LARGEST]), [3, INF, NAN, NAN, INF])],
    "sub": [(([1, INF, INF, NAN], [2, 1, INF, 1]), [-1, INF, NAN, NAN])],
    "mul": [(([3, 0, -0.0, INF, INF], [-2, INF, 2, -2, 0]), [-6, NAN, -0.0, -INF, NAN])],
    "div": [(([3, 1, -1, 0, INF], [-2, 0, 0, 0, INF]), [-1.5, INF, -INF, NAN, NAN])],
    "neg": [(([1, 0, -0.0, INF, NAN],), [-1, -0.0, 0, -INF, NAN])],
    "gt": [(([1, 2, 2, NAN, INF], [2, 1, 2, 1, INF]), [0, 1, 0, 0, 0])],
    "ge": [(([1, 2, 2, NAN, 0], [2, 1, 2, NAN, -0.0]), [0, 1, 1, 0, 1])],
    "lt": [(([1, 2, 2, NAN, -INF], [2, 1, 2, 1, 0]), [1, 0, 0, 0, 1])],
    "le": [(([1, 2, 2, NAN, 0], [2, 1, 2, NAN, -0.0]), [1, 0, 1, 0, 1])],
    "eq": [(([1, 2, 0, NAN, INF], [2, 2, -0.0, NAN, INF]), [0, 1, 1, 0, 1])],
}
SYMBOLS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
}


@dataclass(frozen=True)
class ApplyFunction(Elementwise):
    """One function of the list, applied to the operands. No operator of the language."""

    name: ClassVar[str] = "applied"
    function: str = ""

    def scalar(self, m: Any, *operands: Any) -> Any:
        if self.function == "where":
            return m.where(operands[0] > 0, *operands[1:])
        made = getattr(m, self.function) if self.function in FUNCTIONS else SYMBOLS[self.function]
        comparison = self.function in ("gt", "ge", "lt", "le", "eq")
        return m.where(made(*operands), 1.0, 0.0) if comparison and m is TENSORS else made(*operands)


def test_every_function_has_edge_cases() -> None:
    assert {*FUNCTIONS, *OPERATORS} == RUNTIME_FUNCTIONS.keys() == EDGES.keys()


CASES = [(f, i) for f, cases in EDGES.items() for i in range(len(cases))]


@pytest.mark.parametrize(("function", "i"), CASES)
def test_on_tensors(function: str, i: int) -> None:
    arguments, expected = EDGES[function][i]
    (result,) = evaluate(function_graph(function, arguments), *tensors(arguments))
    assert_same(result, expected)


@pytest.mark.parametrize(("function", "i"), CASES)
@pytest.mark.parametrize("repeat", [1, 13], ids=["remainder", "vectors"])
def test_as_an_expression(function: str, i: int, repeat: int) -> None:
    """On the processor's vectors, and on what is left over of them, which torch computes by other code."""
    arguments, expected = EDGES[function][i]
    final = run(function_graph(function, tuple(a * repeat for a in arguments)), Context(target("onednn")))
    artifact = build(final, final.graph, "onednn")
    assert [s.kind for s in artifact.plan.steps] == ["expr"]
    given = {v.name: t for v, t in zip(final.graph.inputs, tensors(arguments, repeat), strict=True)}
    assert_same(Net.from_artifact(artifact)(given)["y"], expected * repeat)


def function_graph(function: str, arguments: tuple[Numbers, ...]) -> Graph:
    inputs = tuple(Value(f"x{i}", TensorType("f32", (len(a),))) for i, a in enumerate(arguments))
    y = Value("y", inputs[0].type)
    return Graph("t", inputs, (Node(ApplyFunction(function=function), inputs, (y,)),), (("y", y),))


def tensors(arguments: tuple[Numbers, ...], repeat: int = 1) -> list[torch.Tensor]:
    return [torch.tensor(a * repeat, dtype=torch.float32) for a in arguments]


def assert_same(result: torch.Tensor, expected: Numbers) -> None:
    """Equal to one part in a million, with the same infinities, NaNs and signs of zero."""
    wanted = torch.tensor(expected, dtype=torch.float32)
    torch.testing.assert_close(result, wanted, rtol=1e-6, atol=0, equal_nan=True)
    zeros = wanted == 0
    assert result.signbit()[zeros].equal(wanted.signbit()[zeros]), "the sign of a zero differs"


def test_numbers_stand_where_tensors_do() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0])
    assert TENSORS.maximum(x, 0.0).tolist() == [0, 0, 3]
    assert TENSORS.minimum(1.0, x).tolist() == [-2, 0, 1]
    assert TENSORS.where(x > 0, x, -1.0).tolist() == [-1, -1, 3]
    assert TENSORS.pow(2.0, x).tolist() == [0.25, 1, 8]
    assert TENSORS.maximum(x.double(), 0.1).dtype == torch.float64


def test_what_is_not_in_the_list_cannot_be_said() -> None:
    with pytest.raises(AttributeError, match="no scalar function is called erfinv; the list is pow, maximum"):
        TENSORS.erfinv  # noqa: B018
    with pytest.raises(AttributeError, match="no scalar function is called erfinv"):
        Recorder(1).erfinv  # noqa: B018


def test_a_recorded_body_is_a_list_of_calls() -> None:
    recorder = Recorder(2)
    x, y = recorder.operand(0), recorder.operand(1)
    recorder.maximum(1 - x, y / 2) + INF
    assert recorder.code == [
        ["sub", {"c": 1}, 0],
        ["div", 1, {"c": 2}],
        ["maximum", 2, 3],
        ["add", 4, {"c": "inf"}],
    ]
    recorder = Recorder(1)
    assert Relu().scalar(recorder, recorder.operand(0)).index == 1
    assert recorder.code == [["maximum", 0, {"c": 0.0}]]
    recorder = Recorder(1)
    Elu(alpha=0.5).scalar(recorder, recorder.operand(0))
    assert recorder.code == [
        ["gt", 0, {"c": 0}],
        ["minimum", 0, {"c": 0.0}],
        ["expm1", 2],
        ["mul", 3, {"c": 0.5}],
        ["where", 1, 0, 4],
    ]


def test_a_chain_is_one_list() -> None:
    graph = parse(
        "kernel k(a: f32[2], b: f32[2]) { c = add(a, b, beta=0.5) d = relu(c) e = mul(d, a) return e }"
        "net t(x: f32[2], y: f32[2]) { z = k(x, y) return z }"
    )
    body = graph.nodes[0].op.body  # type: ignore[attr-defined]
    assert record(body) == [["mul", 1, {"c": 0.5}], ["add", 0, 2], ["maximum", 3, {"c": 0.0}], ["mul", 4, 0]]
