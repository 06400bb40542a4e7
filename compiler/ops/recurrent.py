"""Recurrent operators, which compute a sequence step by step from a state.

Time is the first axis: [t, n, ...] is t steps of n independent streams. `cont` [t, n] are the sequence continuation
indicators: the state is multiplied by them before each step, so 0 starts a new sequence and 1 continues the current
one. The initial state is an operand, or 0. The part of a step that does not depend on the state, W x + b, is a separate
`linear` on all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ..op import Op, op
from ..types import Dim, TensorType


@op("lstm", operands=(3, 5))
class Lstm(Op):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Caffe, lstm_layer.cpp and lstm_unit_layer.cpp).

    Operands: the gates' inputs [t, n, 4d] in the order input, forget, output, candidate; cont [t, n]; the weight
    [4d, d] of the hidden state; and optionally the state (h, c), each [1, n, d]. At each step a = gates + W (cont · h),
    c = cont · σ(a_f) · c + σ(a_i) · tanh(a_g), h = σ(a_o) · tanh(c). The result is h of every step, [t, n, d]; with
    `state` there are two more results, h and c after the last step, [1, n, d] each.
    """

    state: bool = False

    def infer(
        self,
        gates: TensorType,
        cont: TensorType,
        w: TensorType,
        h: TensorType | None = None,
        c: TensorType | None = None,
    ) -> TensorType | tuple[TensorType, ...]:
        steps, streams, width = sequence_dims(gates, cont)
        if w.rank != 2 or width % 4 or w.shape != (width, width // 4):
            raise ValueError(f"the weight is [4 d, d] for gates [t, n, 4 d], not {w} for {gates}")
        last = gates.with_shape(1, streams, width // 4)
        if (h is None) != (c is None):
            raise ValueError("the state is two operands, h and c")
        require_state(last, h, c)
        made = gates.with_shape(steps, streams, width // 4)
        return (made, last, last) if self.state else made

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return recurrent_flops(operands)

    def reference(
        self, gates: Tensor, cont: Tensor, w: Tensor, h: Tensor | None = None, c: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        now = initial_state(h, gates, w)
        cell = initial_state(c, gates, w)
        made = []
        for a, going in zip(gates, cont, strict=True):
            cell, now = lstm_step(cell, a + (now * going[:, None]) @ w.T, going[:, None])
            made.append(now)
        whole = torch.stack(made)
        return (whole, now[None], cell[None]) if self.state else whole


@op("rnn", operands=(3, 4))
class Rnn(Op):
    """The simple recurrent network (Elman 1990; Caffe, rnn_layer.cpp): at each step h = tanh(a + W (cont · h)).

    Operands: the inputs a [t, n, d]; cont [t, n]; the weight [d, d] of the hidden state; and optionally that state,
    [1, n, d]. The result is h of every step, [t, n, d]; with `state` there is a second,
    h after the last step, [1, n, d].
    """

    state: bool = False

    def infer(
        self, inputs: TensorType, cont: TensorType, w: TensorType, h: TensorType | None = None
    ) -> TensorType | tuple[TensorType, ...]:
        _, streams, width = sequence_dims(inputs, cont)
        if w.dims != (width, width):
            raise ValueError(f"the weight is [d, d] for inputs [t, n, d], not {w} for {inputs}")
        last = inputs.with_shape(1, streams, width)
        require_state(last, h)
        return (inputs, last) if self.state else inputs

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return recurrent_flops(operands)

    def reference(
        self, inputs: Tensor, cont: Tensor, w: Tensor, h: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        now, made = initial_state(h, inputs, w), []
        for a, going in zip(inputs, cont, strict=True):
            now = torch.tanh(a + (now * going[:, None]) @ w.T)
            made.append(now)
        whole = torch.stack(made)
        return (whole, now[None]) if self.state else whole


@op("lstm_unit", operands=3)
class LstmUnit(Op):
    """One step of `lstm`, without its product with the hidden state (Caffe, lstm_unit_layer.cpp).

    Operands: the cell [1, n, d], the gates' inputs [1, n, 4d], cont [1, n]. Results: the new cell and the hidden
    state, each [1, n, d]. Where cont is 0 the forget gate is 0, even if its input is NaN.
    """

    def infer(self, c: TensorType, gates: TensorType, cont: TensorType) -> tuple[TensorType, ...]:
        steps, streams, width = sequence_dims(gates, cont)
        if steps != 1 or c.rank != 3 or width % 4 or c.dims != (1, streams, width // 4):
            raise ValueError(f"the operands are a cell [1, n, d] and gates [1, n, 4 d], not {c} and {gates}")
        return c, c

    def flops(self, operands: Sequence[TensorType], results: Sequence[TensorType]) -> int:
        return 13 * results[0].numel

    def reference(self, c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, ...]:
        return lstm_step(c, gates, cont[..., None])


def recurrent_flops(operands: Sequence[TensorType]) -> int:
    """For each element of the inputs, a dot product with a row of the weight, and five operations."""
    return prod(operands[0].bounds) * (2 * operands[2].bounds[-1] + 5)


def lstm_step(c: Tensor, a: Tensor, going: Tensor) -> tuple[Tensor, Tensor]:
    """The next cell and hidden state [..., d]; `a` [..., 4d] holds the four gates, one after another."""
    into, forget, out, candidate = a.chunk(4, -1)
    kept = torch.where(going == 0, torch.zeros_like(forget), going * torch.sigmoid(forget))
    c = kept * c + torch.sigmoid(into) * torch.tanh(candidate)
    return c, torch.sigmoid(out) * torch.tanh(c)


def sequence_dims(x: TensorType, cont: TensorType) -> tuple[Dim, Dim, int]:
    """Steps, streams and width. ValueError unless x is [t, n, width] and cont is [t, n]."""
    if x.rank != 3:
        raise ValueError(f"takes [t, n, numbers], not {x}")
    if cont.dims != x.dims[:2]:
        raise ValueError(f"cont is {cont}, and {x} has {x.dims[0]} steps and {x.dims[1]} streams")
    (width,) = TensorType(x.dtype, x.dims[2:]).shape
    return x.dims[0], x.dims[1], width


def require_state(due: TensorType, *given: TensorType | None) -> None:
    for state in given:
        if state is not None and state.dims != due.dims:
            raise ValueError(f"the state is {state}, and has to be {due}")


def initial_state(given: Tensor | None, x: Tensor, w: Tensor) -> Tensor:
    return x.new_zeros(x.shape[1], w.shape[1]) if given is None else given[0].to(x.dtype)
