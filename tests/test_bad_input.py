"""What people get wrong, through the real command: exit code 2, one clear error each with place and advice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cortado.cli import main
from cortado.frontends.files import caffemodel
from cortado.runtime import load

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits"
NET, WEIGHTS = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
HEAD = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
CONV = (
    'layer {{ name: "{0}" type: "Convolution" bottom: "data" top: "{0}" '
    "convolution_param {{ num_output: {1} kernel_size: 1 }} }}\n"
)


Write = Callable[..., Path]


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def expect_refusal(*words: object) -> str:
    """What the command says when it refuses: no traceback, nothing on stdout, exit code 2."""
    done = cortado(*words)
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    return done.output


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(text: str | bytes, name: str = "net.prototxt") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return file


NETS = {
    "truncated": (
        NET.read_text()[:2000],
        [":", "never closed", "cut off"],
    ),
    "unknown layer": (
        HEAD + 'layer { name: "x" type: "Convolutoin" bottom: "data" top: "x" }',
        [':2:19: layer "x"', "no layer type Convolutoin", "did you mean Convolution?"],
    ),
    "missing bottom": (
        HEAD + 'layer { name: "x" type: "ReLU" bottom: "date" top: "x" }',
        [':2:32: layer "x"', 'the blob "date", which no layer before it makes', "did you mean data?"],
    ),
    "channels do not fit": (
        HEAD
        + CONV.format("a", 4)
        + 'layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 1 dim: 5 dim: 9 dim: 8 } } }\n'
        + 'layer { name: "c" type: "Concat" bottom: "a" bottom: "b" top: "c" }',
        [':4:9: layer "c"', '"a" f32[1,4,8,8], made by layer "a"', '"b" f32[1,5,9,8], made by the input "b"'],
    ),
    "sum of different shapes": (
        HEAD
        + CONV.format("a", 4)
        + CONV.format("b", 5)
        + 'layer { name: "s" type: "Eltwise" bottom: "a" bottom: "b" top: "s" }',
        [':4:9: layer "s"', '"a" f32[1,4,8,8], made by layer "a"', '"b" f32[1,5,8,8], made by layer "b"'],
    ),
    "groups do not fit": (
        HEAD
        + 'layer { name: "g" type: "Convolution" bottom: "data" top: "g"\n'
        + "  convolution_param { num_output: 4 kernel_size: 1 group: 2 } }",
        [':3:52: layer "g"', 'made by the input "data"'],
    ),
    "top made twice": (
        HEAD + CONV.format("a", 4) + CONV.format("b", 4).replace('top: "b"', 'top: "a"'),
        [':3:54: layer "b"', '"a" is already made by layer "a"', "Give the top another name"],
    ),
    "a web page": (
        "\n<!DOCTYPE html>\n<html><body>net.prototxt at master</body></html>",
        [":1:1: this is an HTML page, not a prototxt", "Download the file itself"],
    ),
    "layer and layers": (
        HEAD + 'layers { name: "r" type: RELU bottom: "data" top: "r" }',
        [":", "mixes `layer` and `layers`", "Write `layer` for `layers` on line 2. Write type: RELU"],
    ),
    "a solver": (
        'net: "train_val.prototxt"\nbase_lr: 0.01\nmax_iter: 1000\n',
        [":1:1: this is a solver's prototxt", "Give the net that it names"],
    ),
    "empty": ("", [":1:1: this file is empty", "A net has at least one layer"]),
    "no shape": (
        'layer { name: "data" type: "Input" top: "data" }\n'
        + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }',
        [':1:7: the input "data" has no shape', "Give one: --shape data=1,3,224,224"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETS)
def test_a_bad_net(kind: str, write: Write, tmp_path: Path) -> None:
    text, expected = NETS[kind]
    path = write(text)
    said = expect_refusal("compile", path, "-o", tmp_path / "out.cortado")
    assert said.startswith(f"{path}:"), "the place comes first, as editors look for it"
    for words in expected:
        assert words in said
    assert said.count(f"{path}:") == 1, "one error"
    assert len(said.strip().splitlines()) >= 2, "advice"
    assert list(tmp_path.iterdir()) == [path], "nothing is left behind"


def test_all_problems_of_a_file_at_once(write: Write, tmp_path: Path) -> None:
    path = write(
        HEAD
        + 'layer { name: "x" type: "Convolutoin" bottom: "data" top: "x" }\n'
        + 'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }\n'
        + 'layer { name: "z" type: "ReLU" bottom: "nowhere" top: "z" }\n'
        + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 9 } }\n'
    )
    said = expect_refusal("compile", path, "-o", tmp_path / "out.cortado")
    assert [f"{path}:{line}:" in said for line in (1, 2, 3, 4, 5)] == [False, True, False, True, True]
    assert "3 problems; nothing was compiled." in said


def test_values_of_a_wrong_kind_are_told_together(write: Write, tmp_path: Path) -> None:
    path = write(HEAD.replace("dim: 3", 'dim: "three"') + 'layer { name: 7 type: "ReLU" bottom: "data" top: "r" }')
    said = expect_refusal("show", path)
    assert f"{path}:1:" in said and f"{path}:2:" in said and "2 problems" in said


def test_weights_of_another_net(tmp_path: Path) -> None:
    other = tmp_path / "other.caffemodel"
    layers = [caffemodel.WrittenLayer("fc9", "InnerProduct", [np.zeros((2, 3), np.float32)], ["a"], ["b"])]
    caffemodel.write(other, "other", layers)
    said = expect_refusal("compile", NET, other, "-o", tmp_path / "out.cortado")
    assert f'{NET}:14:3: layer "conv1"' in said
    assert f"{other} has no weights for it" in said
    assert "It has weights for fc9. Give the caffemodel that belongs to this prototxt." in said
    assert not (tmp_path / "out.cortado").exists()


def test_weights_of_another_shape(tmp_path: Path) -> None:
    text = NET.read_text().replace("num_output: 24 kernel_size: 3", "num_output: 24 kernel_size: 5", 1)
    net = tmp_path / "net.prototxt"
    net.write_text(text)
    said = expect_refusal("compile", net, WEIGHTS, "-o", tmp_path / "out.cortado")
    assert f'{net}:14:3: layer "conv1"' in said
    assert f"blob 0 is [24, 1, 3, 3] in {WEIGHTS}, and the net needs [24, 1, 5, 5]" in said


def test_no_weights(tmp_path: Path) -> None:
    said = expect_refusal("compile", NET, "-o", tmp_path / "out.cortado")
    assert "the weight conv1.weight and" in said and "more has no numbers" in said
    assert "Give the caffemodel" in said
    assert list(tmp_path.iterdir()) == []


MIXED_UP = {
    "the weights as the net": (WEIGHTS, NET, "this is binary data, not a prototxt", "give that one here"),
    "the net as the weights": (NET, NET, "this is a prototxt, not a caffemodel", "Give the .caffemodel"),
    "no such net": (DIGITS / "none.prototxt", WEIGHTS, "No such file", "Give the path"),
    "no such weights": (NET, DIGITS / "none.caffemodel", "No such file", "Give the path of a .caffemodel"),
    "a folder": (DIGITS, WEIGHTS, "Is a directory", "Give the path"),
}


@pytest.mark.parametrize("kind", MIXED_UP)
def test_files_mixed_up(kind: str, tmp_path: Path) -> None:
    net, weights, error, advice = MIXED_UP[kind]
    said = expect_refusal("compile", net, weights, "-o", tmp_path / "out.cortado")
    assert error in said and advice in said


def test_a_caffemodel_cut_off(tmp_path: Path) -> None:
    cut = tmp_path / "cut.caffemodel"
    cut.write_bytes(WEIGHTS.read_bytes()[:-1000])
    said = expect_refusal("compile", NET, cut, "-o", tmp_path / "out.cortado")
    assert f"{cut}: byte " in said and "cut off or damaged" in said and "Download or copy the file again" in said


OPTIONS = {
    "no equals sign": (["--shape", "1,3,224,224"], "names no input", "--shape NAME=1,3,224,224"),
    "a size of nothing": (["--shape", "data=0,1,8,8"], "'0' in", "whole numbers from 1"),
    "a size that is a word": (["--shape", "data=one,1,8,8"], "'one' in", "data=1,3,224,224"),
    "twice": (["--shape", "data=1,1,8,8", "--shape", "data=2,1,8,8"], "has two shapes", "Give one"),
    "no such input": (["--shape", "date=1,1,8,8"], 'a shape is given for "date"', "did you mean data?"),
    "a shape that does not fit": (["--shape", "data=1,2,8,8"], "blob 0 is [24, 1, 3, 3]", "needs [24, 2, 3, 3]"),
    "no such blob": (["--output", "probs"], 'no blob "probs"', "did you mean prob?"),
    "no such target": (["--target", "cpuu"], "no target is called cpuu", "did you mean cpu?"),
    "two files of weights": (["--weights", str(WEIGHTS)], "Two files of weights", "Give one"),
    "a mean that is none": (["--mean", "red"], "--mean red: these are not numbers", "104,117,123"),
    "a mean that is not there": (["--mean", "none.npy"], "none.npy", "No such file"),
    "a size for pictures": (["--crop", "big"], "'big' is not a size", "224x320"),
    "no such picture input": (["--bgr", "--input", "image"], 'no input "image"', "data [1, 1, 8, 8]"),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_bad_option(kind: str, tmp_path: Path) -> None:
    words, error, advice = OPTIONS[kind]
    said = expect_refusal("compile", NET, WEIGHTS, "-o", tmp_path / "out.cortado", *words)
    assert error in said and advice in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["folder", "below a file", "unwritable"])
def test_where_nothing_can_be_written(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = {"folder": tmp_path, "below a file": tmp_path / "file" / "x", "unwritable": Path("/proc/x.cortado")}[place]
    if place == "unwritable" and not Path("/proc").is_dir():
        pytest.skip("there is no folder that nobody can write to")
    said = expect_refusal("compile", NET, WEIGHTS, "-o", path)
    assert f"{path} cannot be written: " in said and "Give another path." in said


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "digits.cortado"
    assert cortado("compile", NET, WEIGHTS, "-o", path).exit_code == 0
    return path


def test_running_what_is_not_compiled(compiled: Path, tmp_path: Path) -> None:
    said = expect_refusal("run", NET, "--input", "x.npy")
    assert "is not a compiled net" in said and "cortado compile" in said
    assert "is not a compiled net" in expect_refusal("run", tmp_path, "--input", "x.npy")
    np.savez(tmp_path / "whole.npz", data=np.zeros((1, 1, 8, 8), np.float32))
    for content in (b"", (tmp_path / "whole.npz").read_bytes()[:200]):
        (tmp_path / "x.npz").write_bytes(content)
        assert "x.npz: this is not an .npz, or is incomplete" in expect_refusal(
            "run", compiled, "--input", tmp_path / "x.npz"
        )
    assert "there is no such file" in expect_refusal("run", tmp_path / "none.cortado", "--input", "x.npy")
    cut = tmp_path / "cut.cortado"
    cut.write_bytes(compiled.read_bytes()[:-100])
    said = expect_refusal("run", cut, "--input", "x.npy")
    assert "is no whole compiled net" in said and "compile the net again" in said


def test_bad_inputs_of_a_run(compiled: Path, tmp_path: Path) -> None:
    no_picture, picture, wrong = tmp_path / "x.jpg", tmp_path / "p.png", tmp_path / "wrong.npy"
    no_picture.write_text("no picture")
    Image.new("L", (8, 8)).save(picture)
    np.save(wrong, np.zeros((1, 3, 8, 8), np.float32))
    takes = "data: f32[1,1,8,8]"
    assert takes in expect_refusal("run", compiled)
    said = expect_refusal("run", compiled, "--input", f"image={picture}")
    assert 'the net has no input "image"' in said and takes in said
    assert f"{no_picture}: it cannot be read as a picture" in expect_refusal("run", compiled, "--input", no_picture)
    assert "there is no such file" in expect_refusal("run", compiled, "--input", tmp_path / "none.png")
    assert "none.npy" in expect_refusal("run", compiled, "--input", tmp_path / "none.npy")
    assert "data [1,3,8,8]" in expect_refusal("run", compiled, "--input", wrong)
    said = expect_refusal("run", compiled, "--input", DIGITS / "pictures.npz")
    assert "it holds pictures, labels" in said
    for held in ({"foo": np.zeros((1, 1, 8, 8))}, {"data": np.zeros((1, 1, 8, 8)), "foo": np.zeros(3)}, {}):
        np.savez(tmp_path / "x.npz", **held)
        said = expect_refusal("run", compiled, "--input", tmp_path / "x.npz")
        assert f"it holds {', '.join(held) or 'nothing'}" in said and takes in said
    for word in ("data=", ""):
        assert f'--input "{word}" names no file' in expect_refusal("run", compiled, "--input", word)
    assert "1<=x<=1024" in expect_refusal("run", compiled, "--input", picture, "--threads", 1025)
    with pytest.raises(ValueError, match="threads are 1 to 1024, not 1025"):
        load(compiled, threads=1025)
    said = expect_refusal("run", compiled, "--input", picture, "--mean", "1,2,3")
    assert 'there are 3 mean values, and "data" has 1 channels' in said
    said = expect_refusal("run", compiled, "--input", picture, "--labels", tmp_path / "none.txt")
    assert f"{tmp_path / 'none.txt'}: No such file or directory" in said
    said = expect_refusal("run", compiled, "--input", picture, "--output-file", tmp_path)
    assert "cannot be written" in said


def test_bad_questions_of_show(compiled: Path) -> None:
    assert "did you mean fuse?" in expect_refusal("show", NET, "--after", "fuze")
    assert "--after and --why cannot be combined" in expect_refusal("show", NET, "--after", "fuse", "--why")
    assert "a compiled file holds its weights" in expect_refusal("show", compiled, WEIGHTS, "--after", "fuse")


def test_a_net_in_the_language(write: Write, tmp_path: Path) -> None:
    path = write("net n(x: f32[1,4]) {\n    y = rellu(x)\n    return y\n}\n", "n.net")
    said = expect_refusal("compile", path, "-o", tmp_path / "out.cortado")
    assert said.startswith(f"{path}:2:9: ") and "did you mean relu?" in said and "        ^" in said
    path = write("net n(x: f32[1,4]) {\n    y = relu(x)\n    return y\n}\n", "n.net")
    said = expect_refusal("compile", path, WEIGHTS, "-o", tmp_path / "out.cortado")
    assert "this is no file of weights for" in said and ".safetensors" in said
    assert 'no value "z"' in expect_refusal("show", path, "--output", "z")


def test_a_real_process_says_the_same(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "cortado", "compile", str(WEIGHTS), str(NET), "-o", str(tmp_path / "out.cortado")]
    done = subprocess.run(words, cwd=ROOT / ".src", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "this is binary data, not a prototxt" in done.stderr and "Traceback" not in done.stderr


def test_a_fault_of_our_own_is_told_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a traceback nor blame for the person's files; developers can ask for the exception itself."""

    def broken(*given: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr("cortado.driver.compile_file", broken)
    words = ["compile", str(NET), str(WEIGHTS), "-o", str(tmp_path / "out.cortado")]
    done = cortado(*words)
    assert done.exit_code == 3
    assert "KeyError" in done.output and "a fault of cortado" in done.output and "Traceback" not in done.output
    monkeypatch.setenv("CORTADO_TRACEBACK", "1")
    assert isinstance(cortado(*words).exception, KeyError)


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cortado.driver.compile_file", interrupted)
    done = cortado("compile", NET, WEIGHTS, "-o", tmp_path / "out.cortado")
    assert (done.exit_code, done.output) == (130, "interrupted\n")
    assert list(tmp_path.iterdir()) == []
