"""The language: every construct reads, prints and reads back; every mistake is told with its place and what to do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Constant, Graph, Node, Value, handle
from cortado.compiler.op import make_op
from cortado.compiler.ops.activation import Relu
from cortado.compiler.plan import PlannedGraph, Subview
from cortado.compiler.reference import evaluate
from cortado.compiler.text import parse, parse_planned, show
from cortado.compiler.text.show import KEYWORDS
from cortado.compiler.text.weights import dump
from cortado.compiler.types import AtMost, TensorType

EVERYTHING = """\
kernel conv_relu_b1b04c77e210(a: f32[2,1,6,6], b: f32[3,1,3,3], c: f32[3]) {
    d: f32[2,3,4,4] = conv(a, b, c)
    e: f32[2,3,4,4] = relu(d)
    return e
}

kernel two(a: f32[2,3,4,4]) {
    b: f32[2,3,2,2], c: f32[2,3,2,2] = max_pool(a, kernel=2, stride=2, mask=true)
    return b, c
}

net "3A/digits"(data: f32[2,1,6,6], "3A/p_1x1": f32[2,6,2,2]:nhwc, "weight": f32[2,3]) arena 4096 {
    weight "conv1/w": f32[3,1,3,3] = @H
    weight b: f32[3] = [-1.5, 0, 20000]
    weight open: f32[7,12]
    weight one: f32[] = [0.1]
    conv1: f32[2,3,4,4] = conv_relu_b1b04c77e210(data, "conv1/w", b) at 0
    p: f32[2,3,2,2], "at": f32[2,3,2,2] = two(conv1) in c[0:3], in c[3:6]
    c: f32[2,6,2,2] = concat(p, "at") at 384
    s: f32[2,3,2,2], t: f32[2,3,2,2] = slice(c, parts=2) _, at 1024
    u: f32[2,12] = flatten(t) over t
    v: f32[2,7] = linear(u, open) at 640
    return v, "return" = b, "blob with spaces" = s, "3A/p_1x1", open, one, "weight"
}
"""


@pytest.fixture
def numbers() -> torch.Tensor:
    return torch.arange(27, dtype=torch.float32).reshape(3, 1, 3, 3)


def test_every_construct(numbers: torch.Tensor) -> None:
    key = handle(TensorType("f32", (3, 1, 3, 3)), numbers)
    text = EVERYTHING.replace("@H", f"@{key}").replace(" _, at 1024", " at 1536, at 1024")
    graph, plan = parse_planned(text, "net.net", {key: numbers})
    assert show(graph, plan) == text
    assert [v.name for v in graph.inputs] == ["data", "3A/p_1x1", "weight"]
    assert graph.inputs[1].layout == "nhwc" and graph.inputs[0].layout is None
    v = graph.values
    assert plan.arena == 4096 and plan.subview(v["at"]) == Subview(v["c"], 3, 6)
    assert plan.alias(v["u"]) is v["t"]
    assert [name for name, _ in graph.returns][1:3] == ["return", "blob with spaces"]
    bound = {c.name: c.is_bound for c in graph.constants}
    assert bound == {"conv1/w": True, "b": True, "open": False, "one": True}
    assert graph.values["conv1/w"].data.equal(numbers)  # type: ignore[attr-defined]


def test_what_a_person_writes() -> None:
    """Types, weights' numbers and places may be left out, calls may stand in calls, and line breaks where they like."""
    graph = parse(
        """
        # A comment.
        net digits(data: f32[ 64 , 1,28,28 ],) {
            weight w: f32[20,1,5,5]  # another
            pool1 = max_pool(relu(conv(data,
                w)), kernel = 2, stride=[2, 2])
            q: f32[64,20,12,12] = tanh(pool1)
            return pool1, q }
        """.replace(" ],)", " ])")
    )
    assert show(graph) == (
        "net digits(data: f32[64,1,28,28]) {\n"
        "    weight w: f32[20,1,5,5]\n"
        "    pool1.0.0: f32[64,20,24,24] = conv(data, w)\n"
        "    pool1.0: f32[64,20,24,24] = relu(pool1.0.0)\n"
        "    pool1: f32[64,20,12,12] = max_pool(pool1.0, kernel=2, stride=2)\n"
        "    q: f32[64,20,12,12] = tanh(pool1)\n"
        "    return pool1, q\n"
        "}\n"
    )


ATTRIBUTES = [
    ("power(x, power=0.5, scale=-2.5e-08, shift=1e+20)", {"power": 0.5, "scale": -2.5e-8, "shift": 1e20}),
    ("power(x, power=inf, scale=-inf, shift=nan)", {"power": math.inf, "scale": -math.inf, "shift": math.nan}),
    ("power(x, power=2, shift=-0)", {"power": 2.0, "shift": -0.0}),
    ("power(x, scale=0.1)", {"scale": 0.1}),
    ("max_pool(x, kernel=[2, 3], stride=[1, 2], mask=false)", {"kernel": (2, 3), "stride": (1, 2)}),
    ('max_pool(x, kernel=none, round="down")', {"round": "down"}),
    ("max_pool(x, kernel=[3, 3])", {"kernel": (3,)}),
    ("slice(x, points=[1, 2, 3])", {"points": (1, 2, 3)}),
    ("slice(x, axis=-1, points=2)", {"axis": -1, "points": (2,)}),
    ("reshape(x, shape=[])", {}),
]


@pytest.mark.parametrize(("call", "expected"), ATTRIBUTES)
def test_attributes(call: str, expected: dict[str, object]) -> None:
    size = "f32[1,1,1,1]" if "reshape" in call else "f32[1,4,6,6]"
    count = 4 if "points=[" in call else 2 if "slice" in call else 1
    text = f"net t(x: {size}) {{ {', '.join(f'y{i}' for i in range(count))} = {call} return y0 }}"
    graph = parse(text)
    found = graph.nodes[0].op.attributes()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert math.isnan(value) or (found[name], math.copysign(1, found[name])) == (value, math.copysign(1, value))
        else:
            assert found[name] == value
    assert show(parse(show(graph))) == show(graph)


@pytest.mark.parametrize(
    "name", ["3A/p_1x1", "é ü 漢", 'with "quotes" and \\', "", "a b", "tab\there", *sorted(KEYWORDS)]
)
def test_any_text_can_be_a_name(name: str) -> None:
    x = Value(name, TensorType("f32", (2,)))
    y = Value(f"{name}/y", x.type)
    graph = Graph(name or "t", (x,), (Node(Relu(), (x,), (y,)),), ((f"out {name}", y), (name, x)))
    again = parse(show(graph))
    assert show(again) == show(graph)
    assert again.inputs[0].name == name and again.returns[0][0] == f"out {name}" and again.nodes[0].name == f"{name}/y"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("[1, -2.5, 3e-5]", "[1, -2.5, 3e-05]"),
        ("[inf, -inf, nan]", "[inf, -inf, nan]"),
        ("[0.1, 16777216, 3.4028235e38]", "[0.1, 16777216, 3.4028235e+38]"),
        ("[-0, 0.0, +1.]", "[-0, 0, 1]"),
        ("[1e-45, .5, INF]", "[1e-45, 0.5, inf]"),
    ],
)
def test_numbers_of_weights_come_back_bit_for_bit(given: str, shown: str) -> None:
    graph = parse(f"net t(x: f32[3]) {{ weight w: f32[3] = {given} return w }}")
    assert f"= {shown}\n" in show(graph)
    assert parse(show(graph)).constants[0].handle == graph.constants[0].handle


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16", "i64", "i32", "u8"])
def test_every_element_type(dtype: str) -> None:
    graph = parse(f"net t(x: {dtype}[?3,2]) {{ weight w: {dtype}[2] = [1, 7] y = relu(x) return y, w }}")
    assert graph.inputs[0].type == TensorType(dtype, (AtMost(3), 2))
    assert show(parse(show(graph))) == show(graph)


@pytest.mark.parametrize("shape", ["[]", "[0]", "[?200]", "[1,?8,4]", "[1,2,3,4,5,6,7]"])
def test_every_shape(shape: str) -> None:
    graph = parse(f"net t(x: f32{shape}) {{ y = abs(x) return y }}")
    assert str(graph.values["y"].type) == f"f32{shape}"
    assert show(parse(show(graph))) == show(graph)


def test_a_net_may_return_nothing_and_do_nothing() -> None:
    assert show(parse("net t() { return }")) == "net t() {\n    return\n}\n"


def test_a_kernel_by_itself_is_a_graph() -> None:
    """So that a generated file can be read by the program that is its docstring."""
    body = parse("kernel k(a: f32[2]) { b = relu(a) return b }")
    assert show(parse(show(body, kind="kernel")), kind="kernel") == show(body, kind="kernel")


def test_places_may_be_given_to_some_of_the_results() -> None:
    head = "net t(x: f32[1,4,1,1]) { a = relu(x) p, q = slice(a, parts=2)"
    graph, plan = parse_planned(f"{head} _, in a[2:4] return p, q }}")
    assert [v in plan for v in graph.nodes[1].results] == [False, True]
    assert "= slice(a, parts=2) _, in a[2:4]\n" in show(graph, plan)
    assert show(*parse_planned(show(graph, plan))) == show(graph, plan)
    assert "= slice(a, parts=2) in a[0:2], _\n" in show(*parse_planned(f"{head} in a[0:2] return p, q }}"))


def test_a_dump_names_its_file_of_weights(tmp_path: Path, numbers: torch.Tensor) -> None:
    graph = graph_with_weight(numbers)
    paths = dump(tmp_path, {"first": PlannedGraph(graph), "second": PlannedGraph(graph)})
    assert [p.name for p in paths] == ["first.net", "second.net"]
    text = paths[0].read_text("utf-8")
    assert text.startswith('weights "weights.safetensors"\n\nnet t(')
    again = parse(text, str(paths[0]))
    assert again.constants[0].data.equal(numbers)
    assert show(again, weights="weights.safetensors") == text


def test_another_file_of_weights_is_refused(tmp_path: Path, numbers: torch.Tensor) -> None:
    path = dump(tmp_path, {"net": PlannedGraph(graph_with_weight(numbers))})[0]
    text, key = path.read_text("utf-8"), graph_with_weight(numbers).constants[0].handle
    from safetensors.torch import save_file

    save_file({key: numbers + 1}, tmp_path / "weights.safetensors")
    with pytest.raises(CompileError, match=f"w hashes to @[0-9a-f]{{12}}, not @{key}") as caught:
        parse(text, str(path))
    assert caught.value.advice == "The file of weights belongs to another net, or has been changed."
    save_file({key: numbers.flatten()}, tmp_path / "weights.safetensors")
    with pytest.raises(CompileError, match="its numbers are"):
        parse(text, str(path))
    save_file({"other": numbers}, tmp_path / "weights.safetensors")
    with pytest.raises(CompileError, match=f"no weights with handle @{key}"):
        parse(text, str(path))
    (tmp_path / "weights.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(CompileError, match="cannot be read as safetensors"):
        parse(text, str(path))
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(CompileError, match="cannot be read as safetensors"):
        parse(text, str(path))


def graph_with_weight(numbers: torch.Tensor) -> Graph:
    w = Constant("w", TensorType("f32", tuple(numbers.shape)), data=numbers)
    x = Value("x", TensorType("f32", (1, 1, 3, 3)))
    y = Value("y", TensorType("f32", (1, 3, 1, 1)))
    return Graph("t", (x,), (Node(make_op("conv", {}), (x, w), (y,)),), (("y", y),))


def test_reading_a_dump_computes_the_same() -> None:
    graph = parse(
        "kernel k(a: f32[2,3], b: f32[2,3]) { c = add(a, b, beta=0.5) d = tanh(c) return d }"
        'net t(x: f32[2,3]) { weight w: f32[2,3] = [1, 2, 3, 4, 5, 6] y = k(x, w) return "t/y" = y }'
    )
    x = torch.randn(2, 3)
    (expected,), (again,) = evaluate(graph, x), evaluate(parse(show(graph)), x)
    assert again.equal(expected)
    assert expected.equal(torch.tanh(x + torch.arange(1, 7).reshape(2, 3) * 0.5))


@pytest.mark.parametrize("name", ["nan", "NaN", "Inf", "nan.weight", "inf.a", "true", "true.b", "none.c", "in.x", "_"])
def test_names_that_look_like_something_else_are_read_back(name: str) -> None:
    x = Value(name, TensorType("f32", (2, 3)))
    node = Node(Relu(), (x,), (Value(f"{name}.y", x.type),))
    text = show(Graph("n", (x,), (node,), ((name, node.output),)))
    assert show(parse(text, "again.net")) == text
