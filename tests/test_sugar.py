"""What people may write and no stage prints: functions, repeated lines, sums. Each is the same as the plain text."""

from __future__ import annotations

import pytest

from cortado.compiler.errors import CompileError
from cortado.compiler.text import parse, show

UNIT = """
function unit(x, out, kernel=3, stride=1, pad=(kernel-1)/2) {
    weight w: f32[out,x[1],kernel,kernel]
    c = conv(x, w, stride=stride, pad=pad)
    return relu(c)
}
"""


def net(body: str, functions: str = "", input: str = "f32[1,4,8,8]") -> str:
    return f"{functions}\nnet n(x: {input}) {{\n{body}\n}}\n"


SAME = {
    "a function": (
        net("y = unit(x, 8)\nreturn y", UNIT),
        net("weight y.w: f32[8,4,3,3]\ny.c = conv(x, y.w, pad=1)\ny = relu(y.c)\nreturn y"),
    ),
    "arguments by name, and defaults that speak of other parameters": (
        net("y = unit(out=8, x=x, kernel=5)\nreturn y", UNIT),
        net("weight y.w: f32[8,4,5,5]\ny.c = conv(x, y.w, pad=2)\ny = relu(y.c)\nreturn y"),
    ),
    "a call in a call": (
        net("y = unit(unit(x, 8), 4, 1)\nreturn y", UNIT),
        net(
            "weight y.x.w: f32[8,4,3,3]\nweight y.w: f32[4,8,1,1]\ny.x.c = conv(x, y.x.w, pad=1)\ny.x = relu(y.x.c)\n"
            "y.c = conv(y.x, y.w)\ny = relu(y.c)\nreturn y"
        ),
    ),
    "several results": (
        net("a, b = two(x)\nreturn a, b", "function two(x) { h, t = slice(x, parts=2) s = relu(t) return s, h }"),
        net("b, a.t = slice(x, parts=2)\na = relu(a.t)\nreturn a, b"),
    ),
    "a parameter that comes back": (
        net("y = same(x)\nz = relu(y)\nreturn z", "function same(x) { return x }"),
        net("z = relu(x)\nreturn z"),
    ),
    "lines repeated: the last value has the plain name": (
        net("a = abs(x)\nrepeat 3 { a = relu(a) }\nb = tanh(a)\nreturn b"),
        net("a.0 = abs(x)\na.1 = relu(a.0)\na.2 = relu(a.1)\na = relu(a.2)\nb = tanh(a)\nreturn b"),
    ),
    "numbers from one to another": (
        net("a = abs(x)\nrepeat i from 1 to 2*1 { a = relu(a, slope=i*0.25) }\nreturn a"),
        net("a.0 = abs(x)\na.1 = relu(a.0, slope=0.25)\na = relu(a.1, slope=0.5)\nreturn a"),
    ),
    "several lists": (
        net("a = abs(x)\nrepeat c, k in [[8, 1], [2, 3]] { a = unit(a, c, k) }\nreturn a", UNIT),
        net(
            "weight a.1.w: f32[8,4,1,1]\nweight a.w: f32[2,8,3,3]\na.0 = abs(x)\na.1.c = conv(a.0, a.1.w)\n"
            "a.1 = relu(a.1.c)\na.c = conv(a.1, a.w, pad=1)\na = relu(a.c)\nreturn a"
        ),
    ),
    "weights of each round are its own": (
        net("a = abs(x)\nrepeat 2 { weight w: f32[4,4,1,1] a = conv(a, w) }\nreturn a"),
        net(
            "weight w.1: f32[4,4,1,1]\nweight w.2: f32[4,4,1,1]\na.0 = abs(x)\na.1 = conv(a.0, w.1)\n"
            "a = conv(a.1, w.2)\nreturn a"
        ),
    ),
    "rounds in rounds, in a function": (
        net(
            "y = deep(x, 2)\nreturn y",
            "function deep(x, n) { y = abs(x) repeat n { repeat i from 1 to 2 { y = relu(y) } } return y }",
        ),
        net("y.y.0 = abs(x)\ny.y.1 = relu(y.y.0)\ny.y.2 = relu(y.y.1)\ny.y.3 = relu(y.y.2)\ny = relu(y.y.3)\nreturn y"),
    ),
    "none, true, words and lists go through": (
        net(
            'y = pool(x, [2, 3], round="down")\nreturn y',
            "function pool(x, kernel, round, mask=false) { return max_pool(x, kernel=kernel, round=round, mask=mask) }",
        ),
        net('y = max_pool(x, kernel=[2, 3], round="down")\nreturn y'),
    ),
    "a quoted name": (
        net('"a/b" = unit(x, 8)\nreturn "a/b"', UNIT),
        net('weight "a/b.w": f32[8,4,3,3]\n"a/b.c" = conv(x, "a/b.w", pad=1)\n"a/b" = relu("a/b.c")\nreturn "a/b"'),
    ),
    "the same name in several places": (
        net(
            "a = abs(x)\nrepeat 2 { weight w: f32[4,4,1,1] a = conv(a, w) }\n"
            "repeat 2 { weight w: f32[4,4,1,1] a = conv(a, w) }\nreturn a"
        ),
        net(
            "weight w.1: f32[4,4,1,1]\nweight w.2: f32[4,4,1,1]\nweight w.3: f32[4,4,1,1]\nweight w.4: f32[4,4,1,1]\n"
            "a.0 = abs(x)\na.1 = conv(a.0, w.1)\na.2 = conv(a.1, w.2)\n"
            "a.3 = conv(a.2, w.3)\na = conv(a.3, w.4)\nreturn a"
        ),
    ),
    "zero rounds": (
        net("a = abs(x)\nrepeat i from 1 to 0 { a = relu(a) }\nreturn a"),
        net("a.0 = abs(x)\nreturn a = a.0"),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_it_is_the_same_as(case: str) -> None:
    short, plain = SAME[case]
    printed = show(parse(short))
    assert printed == show(parse(plain))
    assert show(parse(printed)) == printed, "and what is printed needs none of it"
    assert "function" not in printed and "repeat" not in printed


def test_what_is_printed_is_still_read() -> None:
    """Names that are words of functions elsewhere are quoted."""
    text = net('"function" = relu(x)\n"repeat" = relu("function")\nfrom = relu("repeat")\nto = relu(from)\nreturn to')
    assert show(parse(show(parse(text)))) == show(parse(text))
    assert '"repeat"' in show(parse(text)) and '"to"' not in show(parse(text))


WRONG = {
    "in a function": (
        net("y = unit(x, 8, 3, pad=x)\nreturn y", UNIT),
        (4, 39, 'pad is a value, where a number or a word is expected; in unit, called for "y" on line 9'),
    ),
    "deep in functions": (
        net("y = outer(x)\nreturn y", UNIT + "function outer(x) { a = unit(x, 8, 4) return a }"),
        (
            2,
            57,
            '2 does not divide 3; in unit, called for "y" on line 7; in outer, called for "y" on line 9',
        ),
    ),
    "operands that do not fit": (
        net("y = f(x)\nreturn y", "function f(x) { weight w: f32[1,3,1,1] return conv(x, w) }"),
        (1, 47, "conv: the weight takes 3 channels, the data has 4 (operands"),
    ),
    "too few": (net("y = unit(x)\nreturn y", UNIT), (9, 5, "unit needs out")),
    "too many": (net("y = unit(x, 1, 1, 1, 0, 7)\nreturn y", UNIT), (9, 5, "unit takes 5 arguments, not 6")),
    "no such parameter": (
        net("y = unit(x, 8, strde=2)\nreturn y", UNIT),
        (9, 5, "unit has no parameter strde; did you mean stride?"),
    ),
    "twice": (net("y = unit(x, 8, x=x)\nreturn y", UNIT), (9, 5, "unit is given x twice")),
    "no such function": (
        net("y = unti(x, 8)\nreturn y", UNIT),
        (9, 5, "unti: there is no operator or function of this name; did you mean unit?"),
    ),
    "too many results": (net("a, b = unit(x, 8)\nreturn a", UNIT), (9, 8, "unit returns 1 value, not 2")),
    "itself": (
        net("y = f(x)\nreturn y", "function f(x) { return f(x) }"),
        (1, 24, 'f calls itself; in f, called for "y" on line 3'),
    ),
    "the name of an operator": (net("return x", "function relu(x) { return x }"), (1, 10, "relu is defined already")),
    "a place": (
        net("y = unit(x, 8) at 0\nreturn y", UNIT),
        (9, 5, "unit is a function: placements are for results of operators"),
    ),
    "no size": (net("weight w: f32[x[4]]\nreturn x"), (3, 15, "x is f32[1,4,8,8], which has no dimension 4")),
    "a size that is none": (net("weight w: f32[1-2]\nreturn x"), (3, 8, "w has the size -1, which is not valid")),
    "no list": (net("repeat c in 3 { y = relu(x) }\nreturn x"), (3, 1, "3 is not a list")),
    "a row of another length": (
        net("repeat c, k in [[1, 2], [3]] { y = relu(x) }\nreturn x"),
        (3, 1, "2 names take 2 numbers, not (3,)"),
    ),
    "too often": (
        net("repeat 100000 { y = relu(x) }\nreturn x"),
        (3, 1, "the number of rounds is a whole number up to 10000"),
    ),
    "a value again outside": (net("y = relu(x)\ny = relu(y)\nreturn y"), (4, 1, "y is defined twice")),
    "a value again in one round": (
        net("repeat 2 { y = relu(x) y = relu(y) }\nreturn y"),
        (3, 24, "y is defined twice"),
    ),
    "a value again after the rounds": (
        net("repeat 2 { y = relu(x) }\ny = relu(y)\nreturn y"),
        (4, 1, "y is defined twice"),
    ),
    "the name of a round outside it": (
        net("repeat i from 1 to 2 { y = relu(x) }\nz = relu(y, slope=i)\nreturn z"),
        (4, 19, "i is not defined"),
    ),
    "no net": (UNIT, (2, 10, "the text has functions, but no net")),
    "words as numbers": (net("y = relu(x, slope=1+true)\nreturn y"), (3, 20, "1 + True: both have to be numbers")),
    "by nothing": (net("y = relu(x, slope=1/0)\nreturn y"), (3, 20, "1 / 0: division by zero")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_shown_where_it_is(case: str) -> None:
    text, (line, column, sentence) = WRONG[case]
    with pytest.raises(CompileError) as caught:
        parse(text, "a.net")
    error = caught.value
    assert error.message.startswith(sentence), error.message
    assert error.loc is not None and (error.loc.line, error.loc.column) == (line, column), error
