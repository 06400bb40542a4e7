"""Recurrent layers: LSTM, RNN, and LSTMUnit, a single step of an LSTM."""

from __future__ import annotations

from math import prod

from ....compiler.ir import Value
from ....compiler.ops.activation import TanH
from ....compiler.ops.channels import Bias
from ....compiler.ops.dense import Linear
from ....compiler.ops.recurrent import Lstm, LstmUnit, Rnn
from ..layer import Layer, layer

STATE_WARNING = (
    "the state begins at zero in every call; Caffe carries it from one forward pass to the next where cont is not 0. "
    "Set expose_hidden to pass it in and out."
)


@layer("LSTM", "recurrent_param", bottoms=(2, 5), tops=(1, 3))
def lstm(l: Layer, x: Value, cont: Value, *rest: Value) -> tuple[Value, ...]:
    """h of every step, [t, n, num_output]; with expose_hidden, h and c are extra bottoms and tops (lstm_layer.cpp).

    Blobs, as in Caffe's unrolled net: W_xc, b_c, W_xc_static if there is a static input, W_hc.
    """
    static, state = split_bottoms(l, x, cont, rest, states=2)
    d = l.param["num_output"]
    gates = project_inputs(l, x, static, 4 * d)
    w = l.weight((4 * d, d), "weight_h")
    return l.emit_all(Lstm(state=bool(state)), gates, cont, w, *state)


@layer("RNN", "recurrent_param", bottoms=(2, 4), tops=(1, 2))
def rnn(l: Layer, x: Value, cont: Value, *rest: Value) -> tuple[Value, ...]:
    """o = tanh(W_ho h + b_o) of every step, h = tanh(W_xh x + b_h + W_hh h) (rnn_layer.cpp).

    With expose_hidden, h is one more bottom and one more top.

    Blobs: W_xh, b_h, W_xh_static if there is a static input, W_hh, W_ho, b_o.
    """
    static, state = split_bottoms(l, x, cont, rest, states=1)
    d = l.param["num_output"]
    inputs = project_inputs(l, x, static, d)
    h, *last = l.emit_all(Rnn(state=bool(state)), inputs, cont, l.weight((d, d), "weight_h"), *state)
    o = l.emit(Linear(axis=2), h, l.weight((d, d), "weight_o"), l.weight((d,), "bias_o"))
    return l.emit(TanH(), o), *last


@layer("LSTMUnit", bottoms=3, tops=2)
def lstm_unit(l: Layer, c: Value, gates: Value, cont: Value) -> tuple[Value, ...]:
    """One step of an LSTM: c and h from the previous c and the gates (lstm_unit_layer.cpp)."""
    return l.emit_all(LstmUnit(), c, gates, cont)


def split_bottoms(
    l: Layer, x: Value, cont: Value, rest: tuple[Value, ...], states: int
) -> tuple[Value | None, tuple[Value, ...]]:
    """The static input (or None) and the `states` state bottoms (or ()) in `rest` (recurrent_layer.cpp).

    CompileError if the count of bottoms or tops, or a shape, is wrong.
    """
    p = l.param
    if p["num_output"] < 1:
        raise l.fault("num_output has to be 1 or more", "num_output")
    if x.type.rank < 3:
        raise l.fault(f"it takes [t, n, ...], steps and streams first, not {x.type}")
    exposed = states if p["expose_hidden"] else 0
    if len(rest) - exposed not in (0, 1):
        counts = f"{2 + exposed} bottoms, or {3 + exposed} with a static input"
        raise l.fault(f"it has {2 + len(rest)} bottoms, and takes {counts}", "expose_hidden")
    if len(l.tops) != 1 + exposed:
        raise l.fault(f"it has {len(l.tops)} tops, and makes {1 + exposed}", "expose_hidden")
    if not exposed:
        l.importer.warn(f'layer "{l.name}" ({l.type}): {STATE_WARNING}')
    if cont.type.dims != x.type.dims[:2]:
        steps = list(map(str, x.type.dims[:2]))
        raise l.fault(f"cont is {cont.type}, and has to be [{', '.join(steps)}], a number for each step and stream")
    static = rest[0] if len(rest) > exposed else None
    if static is not None and (not static.type.rank or static.type.dims[0] != x.type.dims[1]):
        raise l.fault(f"the static input is {static.type}, and there are {x.type.dims[1]} streams")
    return static, rest[len(rest) - exposed :]


def project_inputs(l: Layer, x: Value, static: Value | None, width: int) -> Value:
    """The projection of the inputs for all steps, without the recurrent term: [t, n, width]."""
    taken = prod(l.sizes(x.type.dims[2:]))
    made = l.emit(Linear(axis=2), x, l.weight((width, taken), "weight_x"), l.weight((width,), "bias"))
    if static is None:
        return made
    taken = prod(l.sizes(static.type.dims[1:]))
    if static.type.rank == 1:
        raise l.fault(f"the static input is {static.type}, and has to be [n, ...]")
    same = l.emit(Linear(axis=1), static, l.weight((width, taken), "weight_static"))
    return l.emit(Bias(axis=1), made, same)
