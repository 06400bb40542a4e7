"""Layers of forks for sequences: CTPN's Lstm, LSTMNode, and the ContinuationIndicator of crnn.caffe."""

from __future__ import annotations

from math import prod

import torch

from ....compiler.ir import Constant, Value
from ....compiler.limits import MAX_CONSTANT_ELEMENTS
from ....compiler.ops.activation import Abs, Threshold
from ....compiler.ops.arithmetic import Add
from ....compiler.ops.dense import Linear
from ....compiler.ops.indexing import Tile
from ....compiler.ops.recurrent import Lstm, LstmUnit
from ....compiler.ops.shape import Concat, Reshape, Slice
from ..layer import Layer, layer
from .recurrent import STATE_WARNING

LSTM_FIELDS = ("num_output", "clipping_threshold", "weight_filler", "bias_filler")
STREAMS_WARNING = (
    "is computed as by CTPN's code for the CPU, where every stream takes its recurrent term from stream 0; "
    "--dialect Lstm=ctpn-gpu keeps the streams apart, as its code for the GPU does"
)


@layer("Lstm", "lstm_param", bottoms=(1, 2), dialect="ctpn", fields=LSTM_FIELDS)
def lstm_of_ctpn(l: Layer, x: Value, cont: Value | None = None) -> Value:
    """h of every step, [t, n, num_output], for inputs [t, n, ...]; all streams take their recurrent term from stream 0.

    That is what CTPN's code for the CPU does (lstm_layer.cpp, where h_to_gate is not advanced): the term is the product
    of W_h and the last h of stream 0. Blobs: W_x, W_h, b. The second bottom is an indicator for each step, where
    another number than 0 continues the sequence; without it, the first step alone begins one. clipping_threshold
    limits gradients.
    """
    gates, going, w = lstm_operands(l, x, cont)
    steps, streams, width = l.sizes(gates.type.dims)
    if streams == 1:
        return l.emit(Lstm(), gates, going, w)
    l.importer.warn(f"{l.label} {STREAMS_WARNING}")
    first, _ = l.emit_all(Slice(axis=1, points=(1,)), gates)
    state = l.emit(Lstm(), first, continuation(l, steps, 1, "cont_0"), w)
    before: Value = l.filled(0.0, (1, 1, width // 4), "h_0")
    if steps > 1:
        head, _ = l.emit_all(Slice(axis=0, points=(steps - 1,)), state)
        before = l.emit(Concat(axis=0), before, head)
    recurrent = l.emit(Tile(axis=1, tiles=streams), l.emit(Linear(axis=2), before, w))
    none = l.filled(0.0, (width, width // 4), "no_weight_h")
    return l.emit(Lstm(), l.emit(Add(), gates, recurrent), going, none)


@layer("Lstm", "lstm_param", bottoms=(1, 2), dialect="ctpn-gpu", fields=LSTM_FIELDS, on_request=True)
def lstm_of_ctpn_on_gpu(l: Layer, x: Value, cont: Value | None = None) -> Value:
    """h of every step, [t, n, num_output], for inputs [t, n, ...], of independent streams (CTPN's lstm_layer.cu)."""
    return l.emit(Lstm(), *lstm_operands(l, x, cont))


def lstm_operands(l: Layer, x: Value, cont: Value | None) -> tuple[Value, Value, Value]:
    """The inputs of the gates, indicators, and the hidden state's weight. CompileError for shapes that do not fit."""
    if x.type.rank < 3:
        raise l.fault(f"it takes [t, n, ...], steps and streams first, not {x.type}")
    steps, streams, *rest = l.sizes(x.type.dims)
    d = l.param["num_output"]
    if d < 1:
        raise l.fault("num_output has to be 1 or more", "num_output")
    if cont is None:
        going: Value = continuation(l, steps, streams)
    else:
        if streams != 1 or cont.type.dims != (steps, *(1,) * (cont.type.rank - 1)):
            sentence = f"the second bottom is {cont.type}, and has to be [{steps}], for the steps of one stream"
            raise l.fault(f"{sentence}; there are {streams}")
        l.importer.warn(f"{l.label}: {STATE_WARNING}")
        going = l.emit(Reshape(shape=(steps, 1)), l.emit(Threshold(), l.emit(Abs(), cont)))
    weight_x, weight_h = l.weight((4 * d, prod(rest)), "weight_x"), l.weight((4 * d, d), "weight_h")
    gates = l.emit(Linear(axis=2), x, weight_x, l.weight((4 * d,), "bias"))
    return gates, going, weight_h


@layer("LSTMNode", "lstm_param", bottoms=(2, 3), tops=2)
def lstm_node(l: Layer, x: Value, c: Value, cont: Value | None = None) -> tuple[Value, ...]:
    """One step of an LSTM: h and c, [n, num_cells], from the inputs [n, ...], which hold the last h, and the last c.

    The third bottom, one number for each row, multiplies the forget gate (peteanderson80/caffe, lstm_node_layer.cpp).
    Blobs: the weight [4 num_cells, ...] of the input, forget and output gate and the candidate, and the bias.
    """
    rows, *rest = l.sizes(x.type.dims)
    d = l.param["num_cells"]
    if d < 1:
        raise l.fault("num_cells has to be 1 or more", "num_cells")
    if c.type.numel != rows * d or (cont is not None and cont.type.numel != rows):
        sentence = f"for {rows} rows of {d} cells the second bottom is [{rows}, {d}]"
        shown = [c] if cont is None else [c, cont]
        raise l.fault(f"{sentence} and the third [{rows}]{l.importer.describe(shown)}")
    operands: list[Value] = [x, l.weight((4 * d, prod(rest)), "weight")]
    if l.param["bias_term"]:
        operands.append(l.weight((4 * d,), "bias"))
    gates = l.emit(Reshape(shape=(1, rows, 4 * d)), l.emit(Linear(), *operands))
    if cont is None:
        cont = l.filled(1.0, (1, rows), "cont")
    going = l.emit(Reshape(shape=(1, rows)), cont)
    state = l.emit_all(LstmUnit(), l.emit(Reshape(shape=(1, rows, d)), c), gates, going)
    new_c, new_h = (l.emit(Reshape(shape=(rows, d)), value) for value in state)
    return new_h, new_c


@layer(
    "ContinuationIndicator",
    "continuation_indicator_param",
    bottoms=0,
    dialect="crnn",
    fields=("time_step", "batch_size"),
)
def continuation_indicator(l: Layer) -> Value:
    """0 for the first step of each stream and 1 for all others, [time_step, batch_size]."""
    return continuation(l, l.param["time_step"], l.param["batch_size"])


@layer("ContinuationIndicator", "continuation_indicator_param", dialect="jolibrain", fields=("time_step", "axis"))
def continuation_indicator_like(l: Layer, x: Value) -> Value:
    """0 for the first step of each stream and 1 for all others; the bottom has as many streams along `axis`."""
    (streams,) = l.sizes([x.type.dims[l.axis(l.param["axis"], x)]])
    return continuation(l, l.param["time_step"], streams)


def continuation(l: Layer, steps: int, streams: int, role: str = "cont") -> Constant:
    """A constant: indicators [steps, streams] of sequences that begin at the first step. CompileError for no size."""
    if min(steps, streams) < 1:
        raise l.fault(f"it is for {steps} steps of {streams} streams: both have to be 1 or more")
    l.check_size((steps, streams), "its top", MAX_CONSTANT_ELEMENTS)
    made = torch.ones(steps, streams)
    made[0] = 0
    return l.constant(made, (steps, streams), role)
