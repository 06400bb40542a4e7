"""Every invariant of a graph and of its memory, as a net that breaks it and the sentence that it is refused with.

And the other way round: plans are broken at random, and whatever `verify` lets pass has to compute the right numbers
between poisoned bytes. A plan that is let pass and computes others would be a hole in `verify`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from cortado.compiler.build import build
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph, Node, Place, Value, Within, declared
from cortado.compiler.memory import ALIGN
from cortado.compiler.ops.activation import Relu
from cortado.compiler.ops.shape import Slice
from cortado.compiler.poison import poisoned
from cortado.compiler.reference import evaluate
from cortado.compiler.targets import target
from cortado.compiler.text import parse, show
from cortado.compiler.types import TensorType
from cortado.compiler.verify import verify
from cortado.passes import Context, plan_memory, run
from cortado.runtime import Net

REFUSED = {
    "a convolution reads around the place where it writes": (
        """net t(x: f32[1,1,4,4]) {
            weight w: f32[1,1,3,3]
            c = relu(x)
            y = conv(c, w, pad=1) over c
            return y }""",
        "y over c: conv reads c at other places than it writes",
    ),
    "so does a pooling": (
        """net t(x: f32[1,1,4,4]) {
            c = relu(x)
            y = max_pool(c, kernel=3, pad=1) over c
            return y }""",
        "y over c: max_pool reads c at other places than it writes",
    ),
    "and a kernel that holds one, though it adds the operand too": (
        """kernel k(a: f32[1,1,4,4], w: f32[1,1,3,3]) {
            c = conv(a, w, pad=1)
            d = add(c, a)
            return d }
        net t(x: f32[1,1,4,4]) {
            weight w: f32[1,1,3,3]
            c = relu(x)
            y = k(c, w) over c
            return y }""",
        "reads c at other places than it writes",
    ),
    "a value over one of another size": (
        """net t(x: f32[1,1,4,4]) {
            c = relu(x)
            y = max_pool(c, kernel=2, stride=2) over c
            return y }""",
        "y over c: f32[1,1,2,2] is not the size of f32[1,1,4,4]",
    ),
    "a value over one of another shape": (
        """net t(x: f32[1,2,3], g: f32[1,2]) {
            a = relu(x)
            b = softmax(g)
            p, q = slice(a, axis=2, points=1) over b
            return q }""",
        "p over b: that is no operand which this net computes",
    ),
    "over and at, with two different answers": (
        """net t(x: f32[64]) arena 1024 {
            c = relu(x) at 0
            y = tanh(c) over c at 512
            return y }""",
        "did not expect '512' here",
    ),
    "over an input": (
        """net t(x: f32[4]) {
            y = relu(x) over x
            return y }""",
        "y is placed by x, which this net does not compute",
    ),
    "over a weight": (
        """net t(x: f32[2]) {
            weight w: f32[2] = [1, 2]
            y = add(x, w) over w
            return y }""",
        "y is placed by w, which this net does not compute",
    ),
    "over what this node does not read": (
        """net t(x: f32[4]) {
            a = relu(x)
            b = tanh(x)
            y = abs(a) over b
            return y }""",
        "y over b: that is no operand which this net computes",
    ),
    "over an operand that is read again": (
        """net t(x: f32[4]) {
            a = relu(x)
            b = tanh(a) over a
            y = add(a, b)
            return y }""",
        "b over a: a is still needed afterwards",
    ),
    "over an operand that is returned": (
        """net t(x: f32[4]) {
            a = relu(x)
            b = tanh(a) over a
            return a, b }""",
        "b over a: a is still needed afterwards",
    ),
    "over an operand in another layout": (
        """net t(x: f32[1,2,4,4]) {
            a: f32[1,2,4,4]:nchw = relu(x)
            y: f32[1,2,4,4]:nhwc = relayout(a) over a
            return y }""",
        "y over a: f32[1,2,4,4]:nhwc does not lie like f32[1,2,4,4]:nchw",
    ),
    "two results in one piece of the operand": (
        """net t(x: f32[1,2,4,4]) {
            a = relu(x)
            p, q = slice(a, parts=2) in a[0:1], in a[0:1]
            return p, q }""",
        "q is written over p, which is still needed",
    ),
    "over a value that a view still looks at": (
        """net t(x: f32[1,4,1,1]) {
            a = relu(x)
            p, q = slice(a, parts=2) in a[0:2], in a[2:4]
            b = tanh(a) over a
            y = concat(p, b)
            return y }""",
        "b is written over p, which is still needed",
    ),
    "channels that another part of the same storage holds": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in y[0:2]
            b = tanh(x) in y[1:3]
            y = concat(a, b)
            return y }""",
        "b is written over a, which is still needed",
    ),
    "a concat that its parts do not stand in where it wants them": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in y[2:4]
            b = tanh(x) in y[0:2]
            y = concat(a, b)
            return y }""",
        "y is written over b, which is still needed",
    ),
    "a slice's piece that lies elsewhere in its operand": (
        """net t(x: f32[1,4,1,1]) {
            a = relu(x)
            p, q = slice(a, parts=2) in a[2:4]
            y = add(p, q)
            return y }""",
        "p is written over a, which is still needed",
    ),
    "a part that begins before its whole ends, and ends after": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in y[3:5]
            b = tanh(x)
            y = concat(b, b)
            z = add(a, a)
            return y, z }""",
        "a lies in [3:5] of y, which ends before",
    ),
    "a part of no channels": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in y[2:2]
            y = concat(a, a)
            return y }""",
        "a lies in [2:2] of y, which ends before",
    ),
    "a part with more channels than it takes": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in y[0:3]
            y = concat(a, a)
            return y }""",
        "a in y: f32[1,2,1,1] has not 3 channels",
    ),
    "a part of another image size": (
        """net t(x: f32[1,2,2,2], z: f32[1,4,3,3]) {
            a = relu(x) in y[0:2]
            y = relu(z)
            return a, y }""",
        "a in y: f32[1,2,2,2] is no part of f32[1,4,3,3]",
    ),
    "a part in another layout than the whole": (
        """net t(x: f32[1,2,2,2]) {
            a: f32[1,2,2,2]:nchw = relu(x) in y[0:2]
            b: f32[1,2,2,2]:nhwc = relayout(a)
            y: f32[1,4,2,2]:nhwc = concat(b, b)
            return y }""",
        "a in y: f32[1,2,2,2]:nchw is no part of f32[1,4,2,2]:nhwc",
    ),
    "a value of one dimension has no channels to lie in": (
        """net t(x: f32[4]) {
            a = relu(x) in y[0:4]
            y = tanh(a)
            return y }""",
        "a lies in [0:4] of y, which ends before",
    ),
    "a place that names nothing": (
        """net t(x: f32[4]) {
            y = relu(x) over ghost
            return y }""",
        "y is placed by ghost, which this net does not compute",
    ),
    "a place in an input": (
        """net t(x: f32[1,4,1,1]) {
            p, q = slice(x, parts=2) in x[0:2]
            return p, q }""",
        "p is placed by x, which this net does not compute",
    ),
    "places in a circle": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in b[0:2]
            b = tanh(a) over a
            return b }""",
        "the places of a, b go in a circle",
    ),
    "a place in itself": (
        """net t(x: f32[1,2,1,1]) {
            a = relu(x) in a[0:2]
            return a }""",
        "the places of a go in a circle",
    ),
    "two values in the same bytes at one step": (
        """net t(x: f32[64]) arena 512 {
            a = relu(x) at 0
            b = tanh(x) at 192
            y = add(a, b) at 256
            return y }""",
        "b and a share bytes, and both are needed",
    ),
    "a result in the bytes of an operand": (
        """net t(x: f32[64]) arena 256 {
            a = relu(x) at 0
            y = tanh(a) at 0
            return y }""",
        "y and a share bytes, and both are needed",
    ),
    "two results of one node in the same bytes": (
        """net t(x: f32[1,1,4,4]) arena 64 {
            y, m = max_pool(x, kernel=2, mask=true) at 0, at 0
            return y, m }""",
        "share bytes, and both are needed",
    ),
    "a result that nobody reads, in the bytes of one that is read": (
        """net t(x: f32[1,1,4,4]) arena 128 {
            a = relu(x) at 0
            y, m = max_pool(x, kernel=2, mask=true) at 64, at 0
            return y, a }""",
        "m and a share bytes, and both are needed",
    ),
    "a whole is reserved from the first that writes in it": (
        """net t(x: f32[1,16,1,1]) arena 320 {
            a = relu(x) in y[0:16]
            b = tanh(x) at 64
            c = abs(b) at 192
            y = concat(a, c) at 0
            return y }""",
        "b and y share bytes, and both are needed",
    ),
    "a whole is reserved to the last that reads a part of it": (
        """net t(x: f32[1,16,1,1]) arena 320 {
            a = relu(x) in y[0:16]
            c = tanh(x) in y[16:32]
            y = concat(a, c) at 0
            b = max_pool(y) at 128
            d = relu(x) at 64
            z = add(a, d) at 256
            return b, z }""",
        "d and y share bytes, and both are needed",
    ),
    "what is returned is needed to the end": (
        """net t(x: f32[16]) arena 64 {
            a = relu(x) at 0
            b = tanh(x) at 0
            return a, b }""",
        "b and a share bytes, and both are needed",
    ),
    "beyond the arena": (
        """net t(x: f32[17]) arena 64 {
            y = relu(x) at 0
            return y }""",
        "y ends beyond the arena of 64 bytes",
    ),
    "beyond the arena at the bound of an unknown dimension": (
        """net t(x: f32[?17]) arena 64 {
            y = relu(x) at 0
            return y }""",
        "y ends beyond the arena of 64 bytes",
    ),
    "no multiple of 64": (
        """net t(x: f32[4]) arena 128 {
            y = relu(x) at 32
            return y }""",
        "y at 32: places are multiples of 64",
    ),
    "an arena in which one value has no place": (
        """net t(x: f32[4]) arena 128 {
            a = relu(x) at 0
            y = tanh(a)
            return y }""",
        "y has no place in the arena",
    ),
    "layouts mixed": (
        """net t(x: f32[1,2,4,4]:nchw) {
            a: f32[1,2,4,4]:nhwc = relayout(x)
            y: f32[1,2,4,4]:nhwc = add(a, x)
            return y }""",
        "add mixes layouts: a nhwc, x nchw, y nhwc",
    ),
    "a result in another layout than the operand": (
        """net t(x: f32[1,2,4,4]:nchw) {
            y: f32[1,2,4,4]:nhwc = relu(x)
            return y }""",
        "relu mixes layouts: x nchw, y nhwc",
    ),
    "rows over nhwc": (
        """net t(x: f32[1,2,4,4]:nhwc) {
            y = flatten(x)
            return y }""",
        "flatten goes by rows, and x is nhwc",
    ),
    "a matrix product over nhwc": (
        """net t(x: f32[1,2,4,4]:nhwc) {
            weight w: f32[3,32]
            y = linear(x, w)
            return y }""",
        "linear goes by rows, and x is nhwc",
    ),
    "a change of layout to another than it says": (
        """net t(x: f32[1,2,4,4]:nchw) {
            y: f32[1,2,4,4]:nchw = relayout(x, to="nhwc")
            return y }""",
        "y is laid out as nchw",
    ),
    "a layout of a value that is no image": (
        """net t(x: f32[2,4]) {
            y: f32[2,4]:nhwc = relu(x)
            return y }""",
        "y has a layout, and is no image [n, c, h, w]",
    ),
    "a layout that is none": (
        """net t(x: f32[1,2,4,4]) {
            y: f32[1,2,4,4]:nchwc = relu(x)
            return y }""",
        "y has a layout nchwc, which is none",
    ),
    "two outputs of one name": (
        """net t(x: f32[2]) {
            y = relu(x)
            z = tanh(x)
            return y, y = z }""",
        "two outputs are called y",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    text, sentence = REFUSED[case]
    with pytest.raises(CompileError) as caught:
        parse(text, "case.net")
    assert sentence in caught.value.message


X = Value("x", TensorType("f32", (4,)))


def node(name: str, *inputs: Value, type: TensorType = X.type) -> Node:
    return Node(Relu(), inputs, (Value(name, type),))


def cut(count: int) -> Node:
    piece = TensorType("f32", (2,))
    return Node(Slice(axis=0, parts=2), (X,), tuple(Value(f"p{i}", piece) for i in range(count)))


A, OTHER = node("a", X), Value("a", X.type)
W = replace(declared("w", X.type), place=Place(at=0))
BROKEN = {
    "two values are called a": Graph("t", (X,), (A, node("a", X)), (("y", A.output),)),
    "two values are called x": Graph("t", (X, Value("x", X.type)), (), ()),
    "an input is given twice": Graph("t", (X, X), (), ()),
    "relu reads a before it is made": Graph("t", (X,), (node("b", A.output), A), ()),
    "relu reads a before": Graph("t", (X,), (node("b", OTHER),), ()),
    "a is made twice": Graph("t", (X,), (A, A), ()),
    "the output y is never made": Graph("t", (X,), (), (("y", OTHER),)),
    "two outputs are called y": Graph("t", (X,), (A,), (("y", A.output), ("y", X))),
    "a is f32[5], and relu makes f32[4]": Graph("t", (X,), (node("a", X, type=TensorType("f32", (5,))),), ()),
    "a is f16[4], and relu makes f32[4]": Graph("t", (X,), (node("a", X, type=TensorType("f16", (4,))),), ()),
    "slice makes 2 results, not 1": Graph("t", (X,), (cut(1),), ()),
    "slice makes 2 results, not 3": Graph("t", (X,), (cut(3),), ()),
    "a = relu: takes 1 operand, not 2": Graph("t", (X,), (node("a", X, X),), ()),
    "x is not computed here: it cannot have a place": Graph("t", (replace(X, place=Place(at=0)),), (), ()),
    "w is not computed here: it cannot have a place": Graph("t", (X,), (node("b", W),), ()),
    "a at -64: places are multiples of 64": Graph(
        "t", (X,), (Node(Relu(), (X,), (Value("a", X.type, Place(at=-64)),)),), (), 64
    ),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_broken(sentence: str) -> None:
    """Graphs that no text can say."""
    with pytest.raises(CompileError, match=r"^t: ") as caught:
        verify(BROKEN[sentence])
    assert sentence in caught.value.message


def test_a_refusal_has_a_place() -> None:
    text = "net t(x: f32[4]) {\n    a = relu(x)\n    b = tanh(x) over a\n    return b\n}\n"
    with pytest.raises(CompileError) as caught:
        parse(text, "case.net")
    assert str(caught.value).split("\n") == [
        "case.net:3:9: t: b over a: that is no operand which this net computes",
        "        b = tanh(x) over a",
        "            ^",
    ]


ALLOWED = {
    "over both reads of one operand": """net t(x: f32[4]) {
        a = relu(x)
        y = mul(a, a) over a
        return y }""",
    "a reshape over what it reads, of another shape": """net t(x: f32[2,3]) {
        a = relu(x)
        y = reshape(a, shape=[3, 2]) over a
        return y }""",
    "parts of a concat, in their places": """net t(x: f32[1,2,1,1]) arena 64 {
        a = relu(x) in y[0:2]
        b = tanh(a) in y[2:4]
        y = concat(a, b) at 0
        return y, a }""",
    "parts of parts": """net t(x: f32[1,2,2,2]) {
        a = relu(x) in i[2:4]
        b = tanh(x) in i[0:2]
        i = concat(b, a) in y[1:5]
        c = max_pool(x, kernel=1)
        p, q = slice(c, points=1)
        y = concat(p, i, q)
        return y, i }""",
    "a part over a part": """net t(x: f32[1,2,2,2]) {
        a = relu(x) in y[0:2]
        b = tanh(a) over a
        y = concat(b, x)
        return y }""",
    "the bytes of what is dead": """net t(x: f32[16]) arena 128 {
        a = relu(x) at 0
        b = tanh(a) at 64
        y = abs(b) at 0
        return y }""",
    "one pixel lies alike in both layouts": """net t(x: f32[1,8,1,1]:nhwc) {
        y = flatten(x)
        z: f32[1,8,1,1]:nchw = add(x, x)
        return y, z }""",
    "an input, a weight, and one value under two names": """net t(x: f32[2]) {
        weight w: f32[2] = [1, 2]
        y = relu(x)
        return x, w, y, z = y }""",
    "no bytes at all, nowhere": """net t(x: f32[0,3]) arena 0 {
        y = relu(x) at 0
        return y }""",
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed(case: str) -> None:
    graph = parse(ALLOWED[case], "case.net")
    inputs = [torch.randn(v.type.shape) for v in graph.inputs]
    plan = plan_memory(graph, Context())
    for a, b in zip(evaluate(graph, *inputs), poisoned(plan, *inputs), strict=True):
        torch.testing.assert_close(a, b)


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
        for got in (poisoned(broken, *inputs), on_the_cpu.values()):
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
        options.append(Place(value.layout, within=Within(other.name, first, first + value.type.shape[1])))
    if (part := value.place.within) is not None:
        step = chance.choice([-2, -1, 1, 2])
        options.append(replace(value.place, within=Within(part.root, max(part.first + step, 0), part.stop + step)))
    return moved(graph, value, chance.choice(options))


def moved(graph: Graph, value: Value, place: Place) -> Graph:
    new = replace(value, place=place)

    def swapped(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(new if v is value else v for v in values)

    nodes = tuple(Node(n.op, swapped(n.inputs), swapped(n.results), n.loc) for n in graph.nodes)
    returns = tuple((name, new if v is value else v) for name, v in graph.returns)
    return Graph(graph.name, graph.inputs, nodes, returns, graph.arena)
