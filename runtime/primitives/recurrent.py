"""Recurrent steps, one after another: time is the first axis, independent streams the second.

The matrix product of a step is small, so what counts is how few calls a step takes: buffers are made once a run, the
four gates are computed in one product, and every step writes its state straight into its place in the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .primitive import Call, Primitive, Run, insist


def lstm_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    return stepped(attributes, operands, gates=4, states=2)


def rnn_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    return stepped(attributes, operands, gates=1, states=1)


def stepped(attributes: Mapping[str, Any], operands: Sequence[Shape], gates: int, states: int) -> Sequence[Shape]:
    """The shapes of h for all steps and of the state after the last, if that is a result."""
    x, cont, w, *state = operands
    insist(len(x) == 3 and cont == x[:2], f"cont is {list(cont)}, and the inputs are {list(x)}")
    steps, streams, width = x
    d = width // gates
    insist(w == (width, d) and d * gates == width, f"a weight {list(w)} does not fit inputs {list(x)}")
    insist(len(state) in (0, states), f"the state is {states} operands, not {len(state)}")
    insist(all(s == (1, streams, d) for s in state), f"the state is {list(map(list, state))}, not [1, {streams}, {d}]")
    return [(steps, streams, d)] + [(1, streams, d)] * (states if attributes["state"] else 0)


def prepare_lstm(call: Call) -> Run:
    """Gates in the order input, forget, output, candidate; a forget gate is 0 where cont is (lstm_unit_layer.cpp)."""

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        gates, cont, w, *state = operands
        h, c = (s[0].clone() for s in state) if state else (start(gates, w), start(gates, w))
        d, across, going, stops = w.shape[1], w.t(), cont[..., None], cont[..., None] == 0
        sums, scaled = torch.empty_like(gates[0]), torch.empty_like(h)
        through, candidate = sums[:, : 3 * d], sums[:, 3 * d :]
        into, forget, out = through.chunk(3, 1)
        for t in range(gates.shape[0]):
            torch.mul(h, going[t], out=scaled)
            torch.addmm(gates[t], scaled, across, out=sums)
            through.sigmoid_()
            candidate.tanh_()
            forget.mul_(going[t]).masked_fill_(stops[t], 0)
            c.mul_(forget).addcmul_(into, candidate)
            h = torch.mul(out, torch.tanh(c, out=scaled), out=results[0][t])
        for result, last in zip(results[1:], (h, c), strict=False):
            result[0].copy_(last)

    return run


def prepare_rnn(call: Call) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        inputs, cont, w, *state = operands
        h = state[0][0] if state else start(inputs, w)
        across, going = w.t(), cont[..., None]
        sums, scaled = torch.empty_like(inputs[0]), torch.empty_like(h)
        for t in range(inputs.shape[0]):
            torch.mul(h, going[t], out=scaled)
            torch.addmm(inputs[t], scaled, across, out=sums)
            h = torch.tanh(sums, out=results[0][t])
        for result in results[1:]:
            result[0].copy_(h)

    return run


def start(x: Tensor, w: Tensor) -> Tensor:
    """The state before the first step where none is given."""
    return x.new_zeros(x.shape[1], w.shape[1])


def unit_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    c, gates, cont = operands
    fits = len(c) == 3 and c[0] == 1 and gates == (*c[:2], 4 * c[2]) and cont == c[:2]
    insist(fits, f"a cell {list(c)}, gates {list(gates)} and cont {list(cont)} do not go together")
    return [c, c]


def prepare_unit(call: Call) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        c, gates, cont = operands
        d, going = c.shape[2], cont[..., None]
        into, forget, out = gates[..., : 3 * d].sigmoid().chunk(3, 2)
        forget.mul_(going).masked_fill_(going == 0, 0)
        torch.mul(c, forget, out=results[0]).addcmul_(into, gates[..., 3 * d :].tanh())
        torch.mul(out, results[0].tanh(), out=results[1])

    return run


LSTM = Primitive(prepare_lstm, lstm_shapes)
RNN = Primitive(prepare_rnn, rnn_shapes)
LSTM_UNIT = Primitive(prepare_unit, unit_shapes)
