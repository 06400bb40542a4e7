"""A matrix product on sm_90, y[n, o] = sum over k of weight[o, k] x[n, k], with both operands loaded by TMA.

It is a linear layer, or a 1×1 convolution, whose pixels are the rows. A program computes COLUMNS channels of ROWS rows.
x and weight are descriptors, and for f32 `rest` as well, the second parts of the weight (`multiply`). With SPLIT, that
many programs compute a tile, each a part of the inner loop, and the last one adds what they found. y holds the first
OWN channels; the epilogue stores the rest.
"""

import triton
import triton.language as tl

from .tensor_cores import is_last_part, multiply, sum_parts


@triton.jit
def epilogue(acc, extra, row, channel, rows, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, rest, extra, partial, counters, N, y_n, y_c, K: tl.constexpr, O: tl.constexpr, OWN: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    BLOCKS: tl.constexpr = (K + DEPTH - 1) // DEPTH
    STEPS: tl.constexpr = (BLOCKS + SPLIT - 1) // SPLIT
    WIDE: tl.constexpr = (O + COLUMNS - 1) // COLUMNS
    n0, o0 = tl.program_id(0) // WIDE * ROWS, tl.program_id(0) % WIDE * COLUMNS
    acc = tl.zeros((COLUMNS, ROWS) if rest is None else (ROWS, COLUMNS), tl.float32)
    first = tl.program_id(1) * STEPS
    for step in range(first, tl.minimum(first + STEPS, BLOCKS)):
        small = None if rest is None else rest.load([o0, step * DEPTH])
        acc = multiply(acc, x.load([n0, step * DEPTH]), weight.load([o0, step * DEPTH]), small)
    if SPLIT > 1:
        if not is_last_part(acc, partial, counters, SPLIT):
            return
        acc = sum_parts(acc, partial, SPLIT)
    n, c = n0 + tl.arange(0, ROWS)[:, None], o0 + tl.arange(0, COLUMNS)[None, :]
    row, channel = n < N, c < O
    value = epilogue(acc.T if rest is None else acc, extra, n, c, row, channel)
    tl.store(y + n * y_n + c * y_c, value, mask=row & channel & (c < OWN))
