"""Layer types that forks of Caffe define differently: what the file says decides, or the user; nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cortado import driver
from cortado.cli.commands import main
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Value
from cortado.compiler.ops.activation import Relu
from cortado.compiler.ops.channels import Scale
from cortado.frontends.caffe.dialects import parse_dialects
from cortado.frontends.caffe.forks import FORKS
from cortado.frontends.caffe.layer import LAYERS, Layer, layer

from .small_nets import Nets, arange, data
from .small_nets import layer as layer_text

X = arange(2, 3)
REVERSE = data(2, 3) + layer_text("Reverse")
OF_AXIS_1 = data(2, 3) + layer_text("Reverse", "reverse_param { axis: 1 }")
COPY, BY_ROWS = X.tolist(), X.flip(0).tolist()


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_an_ambiguous_layer_is_refused_with_what_is_meant_by_each(nets: Nets) -> None:
    said = nets.expect_refusal(REVERSE)
    assert "net.prototxt:2:9: " in said and 'layer "l" (Reverse): forks of Caffe differ in what Reverse is' in said
    assert "in ctpn: Reverse the order along one axis, by default the first" in said
    assert "in synopsys: Reverse the order along each axis that is given; without one, copy" in said
    advice = "--dialect ctpn or --dialect synopsys, --dialect Reverse=ctpn for this type alone"
    assert said.endswith(f'Say which one is meant: {advice}, in Python dialect="ctpn".')


def test_layers_alike_are_asked_about_once(nets: Nets) -> None:
    """And what reads them has no error of its own."""
    text = REVERSE + REVERSE.partition("\n")[2].replace('"y"', '"z"').replace('"l"', '"m"')
    said = nets.expect_refusal(text + layer_text("Eltwise", "", ("y", "z"), ("sum",)).replace('"l"', '"n"'))
    assert said.count("the file fits several") == 1 and "problems" not in said


@pytest.mark.parametrize(("words", "wanted"), [
    (("ctpn",), BY_ROWS),
    (("CTPN",), BY_ROWS),
    (("tianzhi0549/CTPN",), BY_ROWS),
    (("synopsys-caffe",), COPY),
    (("Reverse=synopsys",), COPY),
    (("Reverse=synopsys", "ctpn"), COPY),  # for the type goes before for the net
])  # fmt: skip
def test_the_user_decides(nets: Nets, words: tuple[str, ...], wanted: list[list[float]]) -> None:
    assert nets.run(REVERSE, {"data": X}, dialects=words)["y"].tolist() == wanted


@pytest.mark.parametrize(("settings", "wanted", "dialect", "reason"), [
    ("axis: -2", BY_ROWS, "synopsys", "in ctpn, axis is one number from 0 to 1"),
    ("axis: 0 axis: 1", X.flip(0, 1).tolist(), "synopsys", "in ctpn, axis is one number from 0 to 1"),
    ("axis: 0", BY_ROWS, "ctpn", "the same in synopsys"),
])  # fmt: skip
def test_the_file_decides(nets: Nets, settings: str, wanted: object, dialect: str, reason: str) -> None:
    text = data(2, 3) + layer_text("Reverse", f"reverse_param {{ {settings} }}")
    assert nets.run(text, {"data": X})["y"].tolist() == wanted
    (chosen,) = nets.compilation(text).file.dialects
    assert (chosen.type, chosen.dialect, chosen.layers, chosen.reason) == ("Reverse", dialect, ("l",), reason)


def test_what_no_dialect_takes_is_refused_with_the_reason_of_each(nets: Nets) -> None:
    said = nets.expect_refusal(data(1, 1, 2, 2) + layer_text("Upsample", "upsample_param { upsample_h: 4 }"))
    assert "it is none of the layers that forks of Caffe call Upsample: in mobilenet-yolo, it has no upsample_h" in said
    assert "; in segnet, it takes 2 bottoms" in said and "--dialect Upsample=mobilenet-yolo" in said


def test_an_error_that_all_dialects_share_is_that_error(nets: Nets) -> None:
    said = nets.expect_refusal(data(2, 3) + layer_text("Reverse", "reverse_param { axis: 2 }"))
    assert "there is no axis 2 in f32[2,3]" in said and "ctpn" not in said


def test_a_dialect_asked_for_refuses_what_it_refuses(nets: Nets) -> None:
    text = data(2, 3) + layer_text("Reverse", "reverse_param { axis: -1 }")
    assert "axis is one number from 0 to 1" in nets.expect_refusal(text, dialects=("ctpn",))
    text = data(1, 1, 2, 2) + layer_text("Upsample", "upsample_param { scale: 2 scale_h: 3 }")
    assert "does not compute scale_h" in nets.expect_refusal(text, dialects=("mobilenet-yolo",))
    assert "it has 1 bottoms, and takes 2" in nets.expect_refusal(text, dialects=("Upsample=segnet",))


def test_a_dialect_that_a_type_lacks_leaves_it_to_the_file(nets: Nets) -> None:
    assert nets.run(OF_AXIS_1, {"data": X}, dialects=("segnet",))["y"].tolist() == X.flip(1).tolist()
    assert "the file fits several" in nets.expect_refusal(REVERSE, dialects=("segnet",))


@pytest.mark.parametrize(("words", "said"), [
    (("ctpm",), "dialect ctpm: ctpm is not a dialect of any layer type; did you mean ctpn?"),
    (("",), "nothing is not a dialect of any layer type"),
    (("Reverse=segnet",), "segnet is not a dialect of Reverse"),
    (("Reverse=",), "nothing is not a dialect of Reverse"),
    (("reverse=ctpn",), "reverse is not a layer type that has dialects; did you mean Reverse?"),
    (("ReLU=ctpn",), "ReLU is not a layer type that has dialects"),
    (("=ctpn",), "no type is not a layer type that has dialects"),
    (("ctpn", "segnet"), "the net is asked to be in the dialects ctpn and segnet"),
    (("Reverse=ctpn", "Reverse=synopsys"), "Reverse is asked to be ctpn too"),
])  # fmt: skip
def test_names_that_are_none(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse_dialects(words)
    assert said in str(caught.value)


def test_every_fork_has_a_layer_of_its_own() -> None:
    """A name without a layer would be accepted, and mean nothing."""
    assert set(FORKS) == {name for kind in LAYERS.values() for name in kind.dialects}


def test_python_takes_a_word_or_several(tmp_path: Path) -> None:
    (path := tmp_path / "n.prototxt").write_text(REVERSE)
    for dialect in ("ctpn", ["Reverse=ctpn"]):
        assert driver.compile(path, dialect=dialect)(data=X.numpy())["y"].tolist() == BY_ROWS


def test_another_shape_is_not_asked_about_again(tmp_path: Path) -> None:
    (path := tmp_path / "n.prototxt").write_text(REVERSE)
    assert run("compile", path, "--dialect", "ctpn", "-o", tmp_path / "n.cortado").exit_code == 0
    more = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert driver.load(tmp_path / "n.cortado")(data=more)["y"].tolist() == more[::-1].tolist()
    assert "--dialect is for a prototxt" in run("show", tmp_path / "n.cortado", "--dialect", "ctpn", "--why").stderr


def test_commands_take_and_tell_it(tmp_path: Path) -> None:
    (path := tmp_path / "n.prototxt").write_text(REVERSE)
    assert "--dialect synopsys" in run("show", path).stderr and run("show", path).exit_code == 2
    shown = run("show", path, "--dialect", "ctpn")
    assert "y: f32[2,3] = flip(data, axes=0)" in shown.stdout
    assert shown.stderr == 'note: Reverse is read as in ctpn (tianzhi0549/CTPN): as asked; layers: "l"\n'
    made = run("compile", path, "--dialect", "ctpn", "-o", tmp_path / "n.cortado", "--json")
    assert json.loads(made.stdout)["dialects"] == [shown.stderr.removeprefix("note: ").rstrip()]
    assert (
        "dialect  Reverse is read as in ctpn" in run("compile", path, "--dialect", "ctpn", "-o", tmp_path / "n").stdout
    )
    assert run("check", path).exit_code == 1 and run("check", path, "--dialect", "ctpn").exit_code == 0
    both = ("--target", "reference,cpu", "--input", "random")
    assert run("compare", path, "--dialect", "synopsys", *both).exit_code == 0
    assert run("show", path, "--dialect", "foo").exit_code == 2


@pytest.fixture
def twin() -> Iterator[None]:
    """Registers the layer type Twin for two forks: with other settings, but the same default; both learn two blobs."""

    def against(l: Layer) -> str:
        return "it has 1 blob" if len(l.message["param"]) > 1 else ""

    @layer("Twin", "elu_param", dialect="ctpn", fields=("alpha",))
    def with_alpha(l: Layer, x: Value) -> Value:
        """Scale, then a slope of alpha - 1 below 0."""
        return l.emit(Relu(slope=l.number("alpha") - 1), l.emit(Scale(), x, l.weight(l.known(x)[1:], "gamma")))

    @layer("Twin", "elu_param", dialect="segnet", fields=("alpha",), against=against)
    def without(l: Layer, x: Value) -> Value:
        """Scale, then ReLU."""
        return l.emit(Relu(), l.emit(Scale(), x, l.weight(l.known(x)[1:], "gamma")))

    yield
    LAYERS.remove("Twin")


GAMMA = {"l:0": [1.0, 2.0, 3.0]}


@pytest.mark.usefixtures("twin")
def test_dialects_that_emit_the_same_are_not_asked_about(nets: Nets) -> None:
    """They are tried without a trace: a blob is asked for once, and a setting that only one of them reads counts."""
    text = data(2, 3) + layer_text("Twin", "elu_param { alpha: 1 }")
    assert nets.run(text, {"data": X - 3}, GAMMA)["y"].tolist() == [[0, 0, 0], [0, 2, 6]]
    said = nets.expect_refusal(text.replace("alpha: 1", "alpha: 3"), weights=GAMMA)
    assert (
        "the file fits several: in ctpn: Scale, then a slope of alpha - 1 below 0; in segnet: Scale, then ReLU" in said
    )
    assert "does not compute alpha" in nets.expect_refusal(
        text.replace("alpha: 1", "alpha: 3"), weights=GAMMA, dialects=("segnet",)
    )


@pytest.mark.usefixtures("twin")
def test_more_blobs_than_a_dialect_learns_speak_against_it(nets: Nets) -> None:
    text = data(2, 3) + layer_text("Twin", "param {} param {} elu_param { alpha: 3 }")
    assert 'layer "l" (Twin): param is given 2 times, and it has 1 learnt blob' in nets.expect_refusal(
        text, weights=GAMMA
    )


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize(("dialect", "said"), [
    ("segnet", "layer type Twin is registered twice"),
    ("", "layer type Twin is registered twice"),
    ("nobody", "nobody is not among the names in forks.py"),
])  # fmt: skip
def test_what_cannot_be_registered(dialect: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        layer("Twin", dialect=dialect)(lambda l, x: x)
    with pytest.raises(ValueError, match="layer type ReLU is registered twice"):
        layer("ReLU", dialect="ctpn")(lambda l, x: x)
