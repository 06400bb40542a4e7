"""Each pixel repeated SH times along the rows and SW times along the columns (nearest neighbour)."""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, N, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c, C: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    c = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    real = (n < N) & (c < C)
    value = tl.load(x + n * x_n + h // SH * x_h + w // SW * x_w + c * x_c, mask=real)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=real)
