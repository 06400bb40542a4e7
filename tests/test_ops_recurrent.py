"""Recurrent layers against numbers worked out by hand, and against themselves cut in pieces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.errors import CompileError
from cortado.compiler.op import make_op
from cortado.compiler.ops.recurrent import Lstm, LstmUnit, Rnn
from cortado.compiler.types import TensorType

Arrays = dict[str, np.ndarray]


def run(tmp_path: Path, text: str, **inputs: Any) -> Arrays:
    """A net in the language, compiled for the CPU."""
    path = tmp_path / "case.net"
    path.write_text(text)
    return driver.compile(path)(inputs)


def steps(*numbers: Any) -> np.ndarray:
    """One stream: [t, 1, ...]."""
    return np.array(numbers, np.float32)[:, None]


def half_log(k: float) -> float:
    """x such that tanh x is (k - 1) / (k + 1)."""
    return math.log(k) / 2


def test_rnn_by_hand(tmp_path: Path) -> None:
    text = """net n(x: f32[3,1,1], cont: f32[3,1]) {
        weight w: f32[1,1] = [2]
        h, last = rnn(x, cont, w, state=true)
        return h, last
    }"""
    x, cont = steps([0.5], [-1], [2]), steps(0, 1, 0)
    second = math.tanh(-1 + 2 * math.tanh(0.5))
    by_hand = [math.tanh(0.5), second, math.tanh(2)]
    got = run(tmp_path, text, x=x, cont=cont)
    np.testing.assert_allclose(got["h"].ravel(), by_hand, rtol=1e-6)
    np.testing.assert_allclose(got["last"], [[[by_hand[2]]]], rtol=1e-6)
    reference = Rnn().reference(torch.tensor(x), torch.tensor(cont), torch.tensor([[2.0]]))
    np.testing.assert_allclose(reference.ravel(), by_hand, rtol=1e-6)  # type: ignore[union-attr]


def test_lstm_by_hand(tmp_path: Path) -> None:
    """All gates are ½ and the candidate is ½; cont scales what is kept: 1, then ½, then not at all."""
    text = """net n(x: f32[4,1,4], cont: f32[4,1]) {
        weight w: f32[4,1] = [0, 0, 0, 0]
        h, last, cell = lstm(x, cont, w, state=true)
        return h, last, cell
    }"""
    x, cont = steps(*[[0, 0, 0, half_log(3)]] * 4), steps(0, 1, 0.5, 0)
    cells = [0.25, 0.5 * 0.25 + 0.25, 0.25 * 0.375 + 0.25, 0.25]
    by_hand = [0.5 * math.tanh(c) for c in cells]
    got = run(tmp_path, text, x=x, cont=cont)
    np.testing.assert_allclose(got["h"].ravel(), by_hand, rtol=1e-6)
    np.testing.assert_allclose([got["last"].item(), got["cell"].item()], [by_hand[3], cells[3]], rtol=1e-6)
    reference = Lstm().reference(torch.tensor(x), torch.tensor(cont), torch.zeros(4, 1))
    np.testing.assert_allclose(reference.ravel(), by_hand, rtol=1e-6)  # type: ignore[union-attr]


def test_the_gates_are_input_forget_output_candidate() -> None:
    """Each gate has a number of its own: σ is k/(k+1) at log k."""
    gates = torch.tensor([[[math.log(1), math.log(2), math.log(3), half_log(9)]]])
    cell, hidden = LstmUnit().reference(torch.tensor([[[0.6]]]), gates, torch.ones(1, 1))
    expected = 2 / 3 * 0.6 + 1 / 2 * 0.8
    assert cell.item() == pytest.approx(expected)
    assert hidden.item() == pytest.approx(0.75 * math.tanh(expected))


def test_lstm_unit_forgets_even_a_nan(tmp_path: Path) -> None:
    text = """net n(c: f32[1,2,1], gates: f32[1,2,4], cont: f32[1,2]) {
        cell, hidden = lstm_unit(c, gates, cont)
        return cell, hidden
    }"""
    gates = np.array([[[0, np.nan, 0, half_log(3)], [0, 0, 0, half_log(3)]]], np.float32)
    c, cont = np.array([[[8], [1]]], np.float32), np.array([[0, 1]], np.float32)
    got = run(tmp_path, text, c=c, gates=gates, cont=cont)
    np.testing.assert_allclose(got["cell"].ravel(), [0.25, 0.75])
    np.testing.assert_allclose(got["hidden"].ravel(), 0.5 * np.tanh([0.25, 0.75]), rtol=1e-6)
    reference = LstmUnit().reference(*map(torch.tensor, (c, gates, cont)))
    np.testing.assert_allclose(reference[0].ravel(), [0.25, 0.75])


PROTO = """name: "recurrent"
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: {steps} dim: 2 dim: 3 dim: 2 }} }} }}
layer {{ name: "cont" type: "Input" top: "cont" input_param {{ shape {{ dim: {steps} dim: 2 }} }} }}
{inputs}
layer {{ name: "l" type: "{type}" bottom: "x" bottom: "cont" {bottoms} top: "out" {tops}
  recurrent_param {{ num_output: 4 {param} }} }}
"""
STATES = {"LSTM": ("h", "c"), "RNN": ("h",)}


def layer(tmp_path: Path, type: str, steps: int, static: bool = False, exposed: bool = False, **given: Any) -> Arrays:
    """The layer with random weights, the same for the same shapes; with its own state if `exposed`."""
    states = STATES[type] if exposed else ()
    extra: dict[str, tuple[int, ...]] = {"s": (2, 5)} if static else {}
    extra |= {f"{s}0": (1, 2, 4) for s in states}
    sizes = {name: " ".join(f"dim: {d}" for d in shape) for name, shape in extra.items()}
    inputs = "".join(
        f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ {shape} }} }} }}\n'
        for n, shape in sizes.items()
    )
    bottoms, tops = (" ".join(f'{kind}: "{n}"' for n in names) for kind, names in
                     (("bottom", extra), ("top", [f"{s}T" for s in states])))  # fmt: skip
    param = "expose_hidden: true" if exposed else ""
    path = tmp_path / "case.prototxt"
    path.write_text(PROTO.format(steps=steps, type=type, inputs=inputs, bottoms=bottoms, tops=tops, param=param))
    blobs: list[tuple[int, ...]] = []

    def weights(name: str, type: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        assert index == len(blobs)
        blobs.append(shape)
        seed = 100 + sum(shape) + len(shape)
        return np.random.RandomState(seed).standard_normal(shape).astype(np.float32) * 0.3

    got = driver.compile_net(path, weights).load()(given)
    width = 16 if type == "LSTM" else 4
    own = [(4, 4), (4,)] if type == "RNN" else []
    assert blobs == [(width, 6), (width,), *([(width, 5)] if static else []), (width, 4), *own]
    return got


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("type", ["LSTM", "RNN"])
def test_a_sequence_in_two_halves_is_the_whole(tmp_path: Path, type: str, static: bool) -> None:
    """With expose_hidden the state goes out of one call and into the next; without, it begins at zero."""
    random = np.random.RandomState(7)
    x = random.standard_normal((6, 2, 3, 2)).astype(np.float32)
    cont = np.array([[0, 0], [1, 1], [1, 0], [1, 1], [1, 1], [0, 1]], np.float32)
    more: dict[str, Any] = {"s": random.standard_normal((2, 5)).astype(np.float32)} if static else {}
    whole = layer(tmp_path, type, 6, static, x=x, cont=cont, **more)["out"]
    zero = {f"{s}0": np.zeros((1, 2, 4), np.float32) for s in STATES[type]}
    first = layer(tmp_path, type, 2, static, True, x=x[:2], cont=cont[:2], **more, **zero)
    state = {f"{s}0": first[f"{s}T"] for s in STATES[type]}
    second = layer(tmp_path, type, 4, static, True, x=x[2:], cont=cont[2:], **more, **state)
    np.testing.assert_allclose(np.concatenate([first["out"], second["out"]]), whole, atol=1e-6)
    assert np.abs(whole[2, 0] - whole[2, 1]).max() > 1e-3  # the streams do differ


def test_a_static_input_counts_at_every_step(tmp_path: Path) -> None:
    x, cont = np.zeros((3, 2, 3, 2), np.float32), np.zeros((3, 2), np.float32)
    s = np.random.RandomState(1).standard_normal((2, 5)).astype(np.float32)
    without, with_s = (layer(tmp_path, "LSTM", 3, True, x=x, cont=cont, s=v)["out"] for v in (s * 0, s))
    assert np.abs(with_s - without).min() > 1e-4
    np.testing.assert_allclose(with_s[0], with_s[2])


def test_unknown_batch(tmp_path: Path) -> None:
    """Streams that are counted when the net runs."""
    text = """net n(x: f32[3,?4,1], cont: f32[3,?4]) {
        weight w: f32[1,1] = [2]
        return h
    }""".replace("return", "h = rnn(x, cont, w)\n return")
    x = np.random.RandomState(3).standard_normal((3, 2, 1)).astype(np.float32)
    cont = np.ones((3, 2), np.float32)
    expected = Rnn().reference(torch.tensor(x), torch.tensor(cont), torch.tensor([[2.0]]))
    np.testing.assert_allclose(run(tmp_path, text, x=x, cont=cont)["h"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("dim: 3 dim: 2 } } }", "} } }"), "steps and streams first"),
        (("num_output: 4", "num_output: 0"), "num_output has to be 1 or more"),
        (('top: "out"', 'top: "out" top: "hT"'), "it has 2 tops, and makes 1"),
        (("num_output: 4", "num_output: 4 expose_hidden: true"), "it has 2 bottoms, and takes 4 bottoms, or 5"),
        (('bottom: "cont"', 'bottom: "x"'), "cont is f32"),
        (('bottom: "cont"', 'bottom: "cont" bottom: "cont"'), "the static input is f32"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    text = PROTO.format(steps=3, type="LSTM", inputs="", bottoms="", tops="", param="")
    assert change[0] in text
    path = tmp_path / "case.prototxt"
    path.write_text(text.replace(*change))
    with pytest.raises(CompileError, match=sentence) as e:
        driver.compile(path)
    assert 'layer "l" (LSTM)' in str(e.value)
    assert e.value.loc is not None


@pytest.mark.parametrize(
    ("operator", "shapes", "sentence"),
    [
        ("lstm", [(3, 2, 8), (3, 2), (8, 3)], "the weight is"),
        ("lstm", [(3, 2, 8), (2, 2), (8, 2)], "cont is"),
        ("lstm", [(3, 2, 8), (3, 2), (8, 2), (1, 2, 2)], "two operands"),
        ("lstm", [(3, 2, 8), (3, 2), (8, 2), (1, 2, 2), (1, 3, 2)], "the state is"),
        ("rnn", [(3, 2, 8), (3, 2), (8, 7)], "the weight is"),
        ("rnn", [(3, 2), (3, 2), (8, 8)], "takes \\[t, n, numbers\\]"),
        ("lstm_unit", [(1, 2, 3), (1, 2, 8), (1, 2)], "a cell"),
    ],
)
def test_shapes_that_do_not_fit(operator: str, shapes: list[tuple[int, ...]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_op(operator, {}).infer_types([TensorType("f32", s) for s in shapes])
