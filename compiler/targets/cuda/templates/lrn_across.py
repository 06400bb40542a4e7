"""Local response normalisation over SIZE neighbouring channels: x / (K + ALPHA / SIZE · Σ x²)^BETA."""

import triton
import triton.language as tl

from .functions import inverse_power


@triton.jit
def kernel(
    y, x, N, P, y_n, y_p, y_c, x_n, x_p, x_c,
    C: tl.constexpr, SIZE: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr, K: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    c = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n, p = i // P, i % P
    pixel, place = n < N, x + n * x_n + p * x_p
    squares = tl.zeros((ROWS, COLUMNS), tl.float32)
    for d in tl.static_range(SIZE):
        near = c + (d - SIZE // 2)
        value = tl.load(place + near * x_c, mask=pixel & (near >= 0) & (near < C), other=0.0).to(tl.float32)
        squares += value * value
    value = tl.load(place + c * x_c, mask=pixel & (c < C), other=0.0).to(tl.float32)
    scale = inverse_power(K + (ALPHA / SIZE) * squares, BETA)
    tl.store(y + n * y_n + p * y_p + c * y_c, value * scale, mask=pixel & (c < C))
