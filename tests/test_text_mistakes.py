"""Every mistake in a text is told with its place, one sentence, and what to do; whatever is given is read or told."""

from __future__ import annotations

import random

import pytest
import torch

from cortado.compiler.errors import CompileError, Loc
from cortado.compiler.ir import Graph, handle
from cortado.compiler.text import parse
from cortado.compiler.types import TensorType

from .test_text import EVERYTHING

NET = "net t(x: f32[1,4,6,6]) {{\n    {}\n    return x\n}}\n"
MISTAKES = {
    # what is written in the net: line, column, sentence, advice
    "y = reul(x)": (2, 9, "reul: no operator is called reul; did you mean relu? (operands: x f32[1,4,6,6])", ""),
    "y = relu(x, slpe=1)": (
        2, 9, "relu: relu has no attribute slpe; did you mean slope? (operands: x f32[1,4,6,6])", "",
    ),
    "y = relu(x, slope=true)": (2, 9, "relu: slope is a number, not True (operands: x f32[1,4,6,6])", ""),
    "y = relu(x, slope=[1])": (2, 9, "relu: slope is a number, not (1,) (operands: x f32[1,4,6,6])", ""),
    "y = conv(x, x, pad=1.5)": (
        2, 9,
        "conv: pad is a whole number or a list of them, not 1.5 (operands: x f32[1,4,6,6], x f32[1,4,6,6])", "",
    ),
    "y = relu(x, slope=1, slope=2)": (2, 26, "slope is given twice", ""),
    "y = relu(x, x)": (2, 9, "relu: takes 1 operand, not 2 (operands: x f32[1,4,6,6], x f32[1,4,6,6])", ""),
    "y = relu()": (2, 9, "relu: takes 1 operand, not 0 (operands: )", ""),
    "y = relu(data)": (2, 14, "data is not defined before this line", ""),
    "yes = relu(x)\n    z = tanh(yess)": (3, 14, "yess is not defined before this line; did you mean yes?", ""),
    "x = relu(x)": (2, 5, "x is defined twice", "Values are defined once: rename one of them."),
    "y = slice(x, parts=2)": (2, 9, "slice has 2 results, not 1", ""),
    "y, z = relu(x)": (2, 12, "relu has 1 results, not 2", ""),
    "y = relu(slice(x, parts=2))": (2, 14, "slice has 2 results, not 1", ""),
    "y: f32[1,4,6,7] = relu(x)": (2, 5, "y is f32[1,4,6,6], not f32[1,4,6,7]", ""),
    "y: f8[1] = relu(x)": (2, 8, "no element type is called f8", "There are f64, f32, f16, bf16, i64, i32, u8."),
    "y: f32[1,,2] = relu(x)": (2, 8, "f32[1,,2] is no type", "A type is an element type and sizes: f32[1,3,224,224]."),
    "y = relu(x) at 0, at 64": (2, 5, "2 placements for 1 results", ""),
    "y = fused(x)": (2, 9, "fused: a kernel is called by its own name (operands: x f32[1,4,6,6])", ""),
    "weight w: f32[2] = [1]": (2, 12, "1 numbers for f32[2]", ""),
    "weight w: f32[2] = [1, true, 3]": (2, 12, "3 numbers for f32[2]", ""),
    'weight w: f32[2] = [1, "a"]': (2, 12, "w is f32[2], and its data is not 2 numbers", ""),
    "weight w: u8[1] = [256]": (2, 12, "w is u8[1], and its data is not 1 numbers", ""),
    "weight w: f32[9] = @0123456789ab": (
        2, 12, "no weights with handle @0123456789ab",
        'Name the file of weights at the top: weights "weights.safetensors".',
    ),
    "weight w: f32[?2]": (2, 12, "w is f32[?2]: all dimensions of a weight are known", ""),
    "weight w": (3, 5, "did not expect 'return' here", "Expected: :."),
    'y = relu("x\\q")': (
        2, 14, '"x\\q" has an escape that means nothing', 'Write \\" and \\\\ for a quote and a backslash.',
    ),
    "y = relu(x) in x[0]": (2, 23, "did not expect ']' here", "Expected: :."),
    "y = relu(x": (3, 5, "did not expect 'return' here", "Expected: a comma, =, (, [, )."),
    "y relu(x)": (2, 7, "did not expect 'relu' here", "Expected: :, a comma, =."),
    "y = ?": (2, 9, "did not expect '?' here", "Expected: a name, a quoted name."),
}  # fmt: skip


@pytest.mark.parametrize("written", MISTAKES)
def test_mistakes(written: str) -> None:
    line, column, sentence, advice = MISTAKES[written]
    text = NET.format(written)
    with pytest.raises(CompileError) as caught:
        parse(text, "a.net")
    error = caught.value
    assert (error.message, error.advice) == (sentence, advice)
    assert error.loc == Loc("a.net", line, column)
    shown = str(error).split("\n")
    assert shown[0] == f"a.net:{line}:{column}: {sentence}"
    assert shown[1] == "    " + text.split("\n")[line - 1]
    assert shown[2] == "    " + " " * (column - 1) + "^"


WHOLE = {
    "": ("a.net: this text has no net", 'A net begins "net name(x: f32[1,3]) {".'),
    "# only a comment": ("a.net: this text has no net", 'A net begins "net name(x: f32[1,3]) {".'),
    "net t(x: f32[1]) {\n y = relu(x)": (
        "the text ends before this brace is closed",
        "Is the file cut off? A net ends with `return` and a closing brace.",
    ),
    "kernel a() { return }\nkernel a() { return }\nnet t() { return }": (
        "a: a text has kernels of different names, then one net", "",
    ),
    "net a() { return }\nnet b() { return }": ("a: a text has kernels of different names, then one net", ""),
    "kernel relu() { return }\nnet b() { return }": ("relu: a text has kernels of different names, then one net", ""),
    "kernel k(a: f32[1]) { b = relu(a) return b }\nnet t(x: f32[2]) { y = k(x) return y }": (
        "k: operand 1 is f32[2], the kernel takes f32[1] (operands: x f32[2])", "",
    ),
    "kernel k(a: f32[1]) { b = relu(a) return b }\nnet t(x: f32[1]) { y = k(x, x) return y }": (
        "k: takes 1 operand, not 2 (operands: x f32[1], x f32[1])", "",
    ),
    "kernel k(a: f32[1]) { b = relu(a) return b }\nnet t(x: f32[1]) { y = k(x, slope=1) return y }": (
        "k: a kernel has no attributes (operands: x f32[1])", "",
    ),
    "kernel k(a: f32[1]) { b = k(a) return b }\nnet t() { return }": (
        "k: no operator is called k", "",
    ),
    'weights "missing.safetensors"\nnet t() { return }': (
        "missing.safetensors: cannot be read as safetensors", "Dumps name their weights relative to themselves",
    ),
    "name: \"LeNet\"\nlayer { type: \"Input\" }": (
        "did not expect 'name' here", "Expected: function, net, weights.",
    ),
    "<!DOCTYPE html>": ("did not expect '<' here", "Expected: function, net, weights."),
}  # fmt: skip


@pytest.mark.parametrize("text", WHOLE)
def test_mistakes_of_whole_texts(text: str) -> None:
    sentence, advice = WHOLE[text]
    with pytest.raises(CompileError) as caught:
        parse(text, "a.net")
    assert caught.value.message.startswith(sentence)
    assert caught.value.advice.startswith(advice)


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = NET.format("y = relu(" + " " * 300 + "data)")
    with pytest.raises(CompileError) as caught:
        parse(text, "a.net")
    _, line, caret = str(caught.value).split("\n")
    assert len(line) <= 114 and line[caret.index("^")] == "d"


def test_an_error_without_text_or_place_is_a_sentence() -> None:
    assert str(CompileError("it is so")) == "it is so"
    assert str(CompileError("it is so", Loc("a", 1, 1))) == "a:1:1: it is so"
    assert str(CompileError("it is so", Loc("a", 9, 1), "one line", "Change it.")) == "a:9:1: it is so\nChange it."


BROKEN_BY = '(){}[],=:"@?#\\ \n\x00\u2028é0.-_a'


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_given_is_read_or_told(seed: int) -> None:
    """Mutated texts make a graph or a CompileError, nothing else."""
    chance, told = random.Random(seed), 0
    numbers = torch.arange(27, dtype=torch.float32).reshape(3, 1, 3, 3)
    key = handle(TensorType("f32", (3, 1, 3, 3)), numbers)
    words = EVERYTHING.split(" ")
    for i in range(150):
        if i % 2:
            letters = list(EVERYTHING.replace("@H", f"@{key}"))
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(letters))
                letters[place : place + chance.randint(0, 2)] = chance.choice(BROKEN_BY)
            text = "".join(letters)
        else:
            made = list(words)
            for _ in range(chance.randint(1, 3)):
                a, b = chance.randrange(len(made)), chance.randrange(len(made))
                made[a] = made[b]
            text = " ".join(made).replace("@H", f"@{key}")
        try:
            assert isinstance(parse(text, "fuzz.net", {key: numbers}), Graph)
        except CompileError as e:
            assert str(e) and e.message
            told += 1
    assert told > 75


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_told(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        data = bytes(chance.randrange(256) for _ in range(chance.randrange(80)))
        with pytest.raises(CompileError):
            parse(data.decode("latin-1"), "noise.net")
