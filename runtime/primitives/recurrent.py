"""Recurrent layers: LSTM, a single LSTM unit, and RNN. Time is the first axis, independent streams the second.

The matrix product of a step is small, so the number of calls per step matters: the four gates are one product, in
place, and each step writes its state directly to its slice of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..plan import Dim, Shape
from .linear import pack_weight
from .primitive import CallSite, Primitive, Run, require

MIN_PACKED_STREAMS = 8  # with fewer, oneDNN's packed product is slower than a plain one
Product = Callable[[Tensor, Tensor], Tensor]


def infer_lstm_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    return infer_recurrent_shapes(attributes, operands, gates=4, states=2)


def infer_rnn_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    return infer_recurrent_shapes(attributes, operands, gates=1, states=1)


def infer_recurrent_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], gates: int, states: int
) -> Sequence[Shape]:
    """The shapes of h for all time steps, and of each state after the last if that is a result."""
    x, cont, w, *state = operands
    require(len(x) == 3 and cont == x[:2], f"cont is {list(cont)}, and the inputs are {list(x)}")
    steps, streams, width = x
    d = width // gates
    require(w == (width, d) and d * gates == width, f"a weight {list(w)} does not fit inputs {list(x)}")
    require(len(state) in (0, states), f"the state is {states} operands, not {len(state)}")
    require(all(s == (1, streams, d) for s in state), f"the state is {list(map(list, state))}, not [1, {streams}, {d}]")
    return [(steps, streams, d)] + [(1, streams, d)] * (states if attributes["state"] else 0)


def prepare_lstm(call: CallSite) -> Run:
    """Gates in the order input, forget, output, candidate; the forget gate is 0 where cont is (lstm_unit_layer.cpp)."""
    product = product_for(call)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        gates, cont, w, *state = operands
        h, c = (
            (s[0].to(gates.dtype, copy=True) for s in state)
            if state
            else (initial_state(gates, w), initial_state(gates, w))
        )
        d, going, stops = w.shape[1], cont[..., None], cont[..., None] == 0
        scaled = torch.empty_like(h)
        for t in range(gates.shape[0]):
            sums = product(torch.mul(h, going[t], out=scaled), w).add_(gates[t])
            into, forget, out = sums[:, : 3 * d].sigmoid_().chunk(3, 1)
            forget.mul_(going[t]).masked_fill_(stops[t], 0)
            c.mul_(forget).addcmul_(into, sums[:, 3 * d :].tanh_())
            h = torch.mul(out, torch.tanh(c, out=scaled), out=results[0][t])
        for result, last in zip(results[1:], (h, c), strict=False):
            result[0].copy_(last)

    return run


def prepare_rnn(call: CallSite) -> Run:
    product = product_for(call)

    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        inputs, cont, w, *state = operands
        h = state[0][0].to(inputs.dtype) if state else initial_state(inputs, w)
        going, scaled = cont[..., None], torch.empty_like(h)
        for t in range(inputs.shape[0]):
            sums = product(torch.mul(h, going[t], out=scaled), w).add_(inputs[t])
            h = torch.tanh(sums, out=results[0][t])
        for result in results[1:]:
            result[0].copy_(h)

    return run


def product_for(call: CallSite) -> Product:
    """The product of the states [n, d] and the weight [.., d], with a packed weight where that is faster."""
    x, _, w, *_ = call.operands
    if x.shape[1] < MIN_PACKED_STREAMS or (weight := pack_weight(call, w)) is None:
        return lambda h, w: torch.mm(h, w.t())
    return lambda h, w: torch.ops.mkldnn._linear_pointwise(h, weight, None, "none", [], "")


def initial_state(x: Tensor, w: Tensor) -> Tensor:
    """The zero state before the first time step, [n, d]."""
    return x.new_zeros(x.shape[1], w.shape[1])


def infer_lstm_unit_shapes(
    attributes: Mapping[str, Any], operands: Sequence[Shape], planned: Sequence[Sequence[Dim]]
) -> Sequence[Shape]:
    c, gates, cont = operands
    fits = len(c) == 3 and c[0] == 1 and gates == (*c[:2], 4 * c[2]) and cont == c[:2]
    require(fits, f"a cell {list(c)}, gates {list(gates)} and cont {list(cont)} do not go together")
    return [c, c]


def prepare_lstm_unit(call: CallSite) -> Run:
    def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        c, gates, cont = operands
        d, going = c.shape[2], cont[..., None]
        into, forget, out = gates[..., : 3 * d].sigmoid().chunk(3, 2)
        forget.mul_(going).masked_fill_(going == 0, 0)
        torch.mul(c, forget, out=results[0]).addcmul_(into, gates[..., 3 * d :].tanh())
        torch.mul(out, results[0].tanh(), out=results[1])

    return run


LSTM = Primitive(prepare_lstm, infer_lstm_shapes)
RNN = Primitive(prepare_rnn, infer_rnn_shapes)
LSTM_UNIT = Primitive(prepare_lstm_unit, infer_lstm_unit_shapes)
