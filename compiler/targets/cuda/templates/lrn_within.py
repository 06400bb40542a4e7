"""Local response normalisation over R × S neighbouring pixels of a channel: x / (1 + ALPHA / (R S) · Σ x²)^BETA."""

import triton
import triton.language as tl

from .functions import inverse_power


@triton.jit
def kernel(
    y, x, N, H, W, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    C: tl.constexpr, R: tl.constexpr, S: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    c = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n, h, w = i // (H * W), i // W % H, i % W
    real, image = (n < N) & (c < C), x + n * x_n + c * x_c
    squares = tl.zeros((ROWS, COLUMNS), tl.float32)
    for tap in range(R * S):
        ih, iw = h + tap // S - R // 2, w + tap % S - S // 2
        inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & real
        value = tl.load(image + ih * x_h + iw * x_w, mask=inside, other=0.0).to(tl.float32)
        squares += value * value
    value = tl.load(image + h * x_h + w * x_w, mask=real, other=0.0).to(tl.float32)
    scale = inverse_power(1.0 + (ALPHA / (R * S)) * squares, BETA)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value * scale, mask=real)
