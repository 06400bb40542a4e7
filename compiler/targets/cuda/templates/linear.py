"""A matrix product: y[n, o] = sum over k of x[n, k] weight[o, k]. `rest`, unless None, is added to the weight."""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, row, channel, rows, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, rest, extra, N, y_n, y_c, x_n, x_k, K: tl.constexpr, O: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row, channel = n < N, c < O
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, K, DEPTH):
        k = start + tl.arange(0, DEPTH)
        place = x + n[:, None] * x_n + k[None, :] * x_k
        a = tl.load(place, mask=row[:, None] & (k < K)[None, :], other=0.0)
        place, real = c[None, :] * K + k[:, None], channel[None, :] & (k < K)[:, None]
        b = tl.load(weight + place, mask=real, other=0.0)
        if rest is not None:
            b += tl.load(rest + place, mask=real, other=0.0)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    n, c, row, channel = n[:, None], c[None, :], row[:, None], channel[None, :]
    value = epilogue(acc, extra, n, c, row, channel)
    tl.store(y + n * y_n + c * y_c, value, mask=row & channel)
