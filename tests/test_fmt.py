"""`cortado fmt`: one way to lay a text out, which is the compiler's own; comments stay where they belong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cortado import driver
from cortado.cli import main
from cortado.compilation import run_passes
from cortado.compiler.errors import CompileError
from cortado.compiler.text import parse, show
from cortado.compiler.text.format import format_text

from .shared import ROOT

UNTIDY = """\

# top
# of the file

function unit(x,out , kernel=3,
  stride = 1 ) { # head
# first
    weight w:f32[ out, x[1] ,kernel, kernel]


    # apart
    c=conv( x,w , pad = (kernel-1) / 2 ,stride=stride)#behind
    y = max_pool(c, # inside
       # on its own
       kernel=[2,3]
       ) in z [0:4]

    return relu(c), y
    # before the brace
}
net n(data : f32[1, 3,8,8]:nhwc) arena 64 {

 a,b=unit(data,8) over "a b", _
 repeat c,s in [[8,1],[16,2]] { a = relu(a) }
 repeat i from 1 to 3*2 {

 weight w: f32[2]=[1,-2.5] }

 return b,c=a }
# end
"""
TIDY = """\
# top
# of the file

function unit(x, out, kernel=3,
        stride=1) {  # head
    # first
    weight w: f32[out,x[1],kernel,kernel]

    # apart
    c = conv(x, w, pad=(kernel-1)/2, stride=stride)  #behind
    y = max_pool(c,  # inside
        # on its own
        kernel=[2, 3]
    ) in z[0:4]

    return relu(c), y
    # before the brace
}

net n(data: f32[1,3,8,8]:nhwc) arena 64 {
    a, b = unit(data, 8) over "a b", _
    repeat c, s in [[8, 1], [16, 2]] {
        a = relu(a)
    }
    repeat i from 1 to 3*2 {
        weight w: f32[2] = [1, -2.5]
    }

    return b, c = a
}

# end
"""
NETS = sorted((ROOT / "benchmarks" / "nets").glob("*.net"))


def test_an_untidy_text() -> None:
    assert format_text(UNTIDY) == TIDY
    assert format_text(TIDY) == TIDY


@pytest.mark.parametrize("seed", range(10))
def test_spaces_do_not_matter(seed: int) -> None:
    """However a text is spaced, it is laid out the same and means the same."""
    lines = ("    b, c = slice(a, points=[1])", "    d = relu(b, slope=0.5)", "    return d, e = c")
    text = "\n".join(["net n(a: f32[1,4,2,2]) {", *lines, "}\n"])
    dice = random.Random(seed)
    spaced = "".join(c + " " * dice.randrange(3) if c in ",(){}=" else c for c in text)
    assert format_text(spaced) == text
    assert show(parse(format_text(spaced))) == show(parse(text))


@pytest.mark.parametrize("stage", ["read", "fuse", "plan_memory"])
def test_what_the_compiler_prints_is_laid_out(stage: str) -> None:
    digits = ROOT / "examples" / "digits"
    net = driver.read_net(digits / "digits.prototxt", digits / "digits.caffemodel")
    stages = run_passes(net.planned, driver.Options()).by_name
    text = show(*stages[stage], weights="weights.safetensors")
    assert format_text(text) == text


@pytest.mark.parametrize("path", NETS, ids=lambda p: p.stem)
def test_our_nets_are_laid_out(path: Path) -> None:
    text = path.read_text("utf-8")
    assert format_text(text, path.name) == text


def test_a_text_that_cannot_be_read() -> None:
    with pytest.raises(CompileError, match="did not expect 'return' here") as caught:
        format_text("net n(x: f32[1]) {\n    y = relu(x\n    return y\n}", "a.net")
    assert str(caught.value.loc) == "a.net:3:5"


def cortado(*words: object, input: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=input)


def test_the_command(tmp_path: Path) -> None:
    path, tidy = tmp_path / "a.net", tmp_path / "b.net"
    path.write_text(UNTIDY)
    path.chmod(0o640)
    tidy.write_text(TIDY)
    checked = cortado("fmt", "--check", path, tidy)
    assert checked.exit_code == 1 and path.read_text() == UNTIDY
    assert "a.net: would change" in checked.output and "b.net" not in checked.output
    done = cortado("fmt", path, tidy)
    assert done.exit_code == 0 and path.read_text() == TIDY
    assert path.stat().st_mode & 0o777 == 0o640 and len(list(tmp_path.iterdir())) == 2
    assert cortado("fmt", "--check", path, tidy).exit_code == 0
    piped = cortado("fmt", "-", input=UNTIDY)
    assert (piped.exit_code, piped.stdout) == (0, TIDY)
    assert cortado("fmt", "--check", "-", input=UNTIDY).exit_code == 1
    path.write_text("net n(")
    wrong = cortado("fmt", path)
    assert wrong.exit_code == 2 and "a.net" in wrong.output and path.read_text() == "net n("
    path.write_bytes(b"\xff\xfe")
    wrong = cortado("fmt", path)
    assert wrong.exit_code == 2 and "this is UTF-16 text, and has to be UTF-8" in wrong.output
    assert cortado("fmt", tmp_path / "missing.net").exit_code == 2
    wrong = cortado("fmt", ROOT / "examples" / "digits" / "digits.prototxt")
    assert wrong.exit_code == 2 and "this is a prototxt" in wrong.output and "`cortado show " in wrong.output
