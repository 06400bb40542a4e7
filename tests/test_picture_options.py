"""What is said about pictures is checked against the net when it is compiled, and labels against its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cortado import driver
from cortado.cli import main
from cortado.compiler.errors import CompileError
from cortado.runtime.artifact import ArtifactError, Preprocessing, read, write

COLOUR = "net n(data: f32[1,3,8,10]) {\n    y = relu(data)\n    return y\n}\n"
GREY = COLOUR.replace("[1,3,8,10]", "[1,1,8,10]")
DENSE = "net n(data: f32[1,3,8,10]) {\n    weight w: f32[4,240]\n    y = linear(flatten(data), w)\n    return y\n}\n"


def cortado(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.ones((3, 4, 4)))
    np.save("large.npy", np.ones((3, 20, 20)))
    np.save("grey.npy", np.ones((1, 8, 10)))
    np.save("flat.npy", np.ones((8, 10)))
    np.save("two.npy", np.ones(2))
    Path("n.net").write_text(COLOUR)
    return Path("n.net")


REFUSED = {
    "means of other channels": ("--mean 1,2", 'there are 2 mean values, and "data" has 3 channels'),
    "an array of means": ("--mean two.npy", 'there are 2 mean values, and "data" has 3 channels'),
    "a mean that is no number": ("--mean 1,nan,3", 'the mean of the input "data" is nan'),
    "a scale that is no number": ("--scale nan", 'the scale of the input "data" is nan'),
    "a scale without end": ("--scale inf", 'the scale of the input "data" is inf'),
    "a range of nothing": ("--raw-scale 0", "the raw scale"),
    "a grey mean picture": ("--mean grey.npy", 'the mean picture has 1 channels, and "data" has 3'),
    "a mean that is no picture": ("--mean flat.npy", "a mean is [C] or [C,H,W]"),
    "a small mean picture": ("--mean small.npy", 'the mean picture is 4x4, and pictures of "data" are 8x10'),
    "a mean picture of no size": (
        "--mean large.npy --resize 12",
        'the mean picture is 20x20, and pictures of "data" are 12x12 before they are cut and 8x10',
    ),
    "a cut larger than the picture": (
        "--crop 8x10 --resize 7x30",
        'pictures of "data" are resized to 7x30, of which 8x10 cannot be cut',
    ),
    "a picture smaller than the net's": ("--resize 8x9", "of which 8x10 cannot be cut"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_at_once(name: str, net: Path) -> None:
    options, sentence = REFUSED[name]
    done = cortado("compile", net, "-o", "n.cortado", *options.split())
    assert done.exit_code == 2 and sentence in done.output and done.output.count("error:") == 1
    assert not Path("n.cortado").exists()


@pytest.mark.parametrize(
    "options", ["--mean 1", "--mean 1,2,3 --scale -0.5", "--mean large.npy", "--mean large.npy --resize 20", "--crop 4"]
)
def test_what_fits_is_kept(options: str, net: Path) -> None:
    assert cortado("compile", net, "-o", "n.cortado", *options.split()).exit_code == 0


def test_a_cut_that_the_net_cannot_take(net: Path) -> None:
    Path("d.net").write_text(DENSE)
    done = cortado("compile", "d.net", "-o", "n.cortado", "--crop", "9")
    assert done.exit_code == 2 and "cannot take data [1,3,9,9]" in done.output


def test_the_order_of_channels_of_a_grey_net(net: Path) -> None:
    Path("g.net").write_text(GREY)
    done = cortado("compile", "g.net", "-o", "n.cortado", "--bgr")
    assert done.exit_code == 0 and '--bgr has no effect: the input "data" has one channel' in done.output


def test_the_library_checks_as_well(net: Path) -> None:
    for form, sentence in (
        (Preprocessing(mean=(1, 2)), "2 mean values"),
        (Preprocessing(scale=float("nan")), "finite"),
    ):
        with pytest.raises(CompileError, match=sentence):
            driver.compile(net, preprocessing={"data": form})
    with pytest.raises(CompileError, match='no input "date"'):
        driver.compile(net, preprocessing={"date": Preprocessing()})


def test_a_run_checks_what_is_said_now(net: Path) -> None:
    assert cortado("compile", net, "-o", "n.cortado").exit_code == 0
    Path("p.pgm").write_bytes(b"P5 2 2 255\n1234")
    for options, sentence in (("--mean 1,2", "2 mean values"), ("--scale nan", "finite"), ("--resize 3", "cannot be")):
        done = cortado("run", "n.cortado", "--input", "p.pgm", *options.split())
        assert done.exit_code == 2 and sentence in done.output


def test_an_artifact_that_says_nonsense_is_neither_read_nor_written(net: Path) -> None:
    assert cortado("compile", net, "-o", "n.cortado").exit_code == 0
    artifact = read("n.cortado")
    object.__setattr__(artifact, "preprocessing", {"data": Preprocessing(mean=(1, 2))})
    with pytest.raises(ArtifactError, match="2 mean values"):
        artifact.check()
    before = Path("n.cortado").read_bytes()
    with pytest.raises(ArtifactError, match="2 mean values"):
        write("n.cortado", artifact)
    assert Path("n.cortado").read_bytes() == before


TWO_OUTPUTS = "net n(x: f32[1,3]) {\n    a = relu(x)\n    b = concat(x, x)\n    return a, b\n}\n"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("cat\ndog\nbird\n\n\n", ""),
        ("cat\ndog\n", 'l.txt has 2 labels, and "a" has 3 classes, "b" has 6 classes'),
        ("cat\n" * 4, "l.txt has 4 labels"),
        ("", "l.txt has 0 labels"),
    ],
)
def test_labels_are_as_many_as_classes(lines: str, sentence: str, net: Path) -> None:
    Path("t.net").write_text(TWO_OUTPUTS)
    Path("l.txt").write_text(lines)
    np.save("x.npy", np.array([[0, 2, 1]], np.float32))
    assert cortado("compile", "t.net", "-o", "n.cortado").exit_code == 0
    done = cortado("run", "n.cortado", "--input", "x.npy", "--labels", "l.txt")
    assert done.exit_code == (2 if sentence else 0) and sentence in done.output
    if not sentence:
        assert "1 dog" in done.output and done.output.count("dog") == 1, "the output of six classes has no labels"


def test_labels_without_classes(net: Path) -> None:
    Path("l.txt").write_text("cat\n")
    np.save("x.npy", np.ones((1, 3, 8, 10)))
    assert cortado("compile", net, "-o", "n.cortado").exit_code == 0
    done = cortado("run", "n.cortado", "--input", "x.npy", "--labels", "l.txt")
    assert done.exit_code == 0 and "l.txt has no effect" in done.output
