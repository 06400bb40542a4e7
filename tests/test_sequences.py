"""Layers of forks for sequences, beside their golden cases: streams of CTPN's Lstm, its second bottom, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .small_nets import Nets, data, layer

STREAMS = data(3, 2, 1) + layer("Lstm", "lstm_param { num_output: 1 }")
WEIGHTS = {"l:0": [0, 0, 0, 1], "l:1": [0, 0, 0, 1], "l:2": [9, 9, 9, 0]}  # gates that are open, but for rounding
X = np.array([[[1], [0]], [[0], [0]], [[0], [0]]], np.float32)


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    return Nets(tmp_path)


def test_streams_share_a_recurrent_term_on_the_cpu(nets: Nets) -> None:
    """A second stream of zeros moves with the first one; on a GPU it stays 0, and the user may ask for that."""
    together, apart = (nets.run(STREAMS, {"data": X}, WEIGHTS, dialects=d)["y"][..., 0] for d in ((), ("ctpn-gpu",)))
    h, c = np.zeros(2, np.float32), np.zeros(2, np.float32)
    for step, made in zip(X[..., 0], together, strict=True):
        gate = 1 / (1 + np.exp(np.float32(-9)))
        c = gate * c + gate * np.tanh(step + h[0])
        h = gate * np.tanh(c)
        np.testing.assert_allclose(made, h, atol=1e-6)
    assert together[0, 1] == 0 and (together[1:, 1] > 0.4).all()
    np.testing.assert_allclose(apart[:, 0], together[:, 0], atol=1e-6)
    np.testing.assert_array_equal(apart[:, 1], [0, 0, 0])
    (said,) = nets.compilation(STREAMS, WEIGHTS).file.warnings
    assert 'layer "l" (Lstm) is computed as by CTPN' in said and "--dialect Lstm=ctpn-gpu" in said


def test_indicators_of_one_stream(nets: Nets) -> None:
    """Any number but 0 goes on; the state begins at zero."""
    text = (
        data(3, 1, 1) + data(3, name="cont") + layer("Lstm", "lstm_param { num_output: 1 }", bottoms=("data", "cont"))
    )
    made = nets.run(text, {"data": np.ones((3, 1, 1)), "cont": [0, -2, 0]}, WEIGHTS)["y"].ravel()
    assert made[0] == made[2] and made[1] > made[0]


@pytest.mark.parametrize(("text", "words"), [
    (data(3, 2) + layer("Lstm", "lstm_param { num_output: 1 }"), "it takes [t, n, ...], steps and streams first"),
    (data(3, 1, 2) + layer("Lstm", "lstm_param { }"), "num_output has to be 1 or more"),
    (data(3, 2, 1) + data(3, 2, name="c") + layer("Lstm", "lstm_param { num_output: 1 }", bottoms=("data", "c")),
     "for the steps of one stream; there are 2"),
    (data(2, 1) + data(2, 2, name="c") + layer("LSTMNode", "lstm_param { num_cells: 3 }", ("data", "c"), ("y", "z")),
     "for 2 rows of 3 cells the second bottom is [2, 3]"),
    (data(2, 1) + data(2, 2, name="c") + layer("LSTMNode", bottoms=("data", "c"), tops=("y", "z")),
     "num_cells has to be 1 or more"),
    (data(2, 3) + layer("Transpose", "transpose_param { dim: 0 dim: 0 }"), "dim is [0, 0], and has to name each axis"),
    (data(2, 3) + layer("ContinuationIndicator", "continuation_indicator_param { axis: 1 }"), "it is for 0 steps of 3"),
])  # fmt: skip
def test_what_cannot_be(nets: Nets, text: str, words: Any) -> None:
    assert words in nets.expect_refusal(text)
