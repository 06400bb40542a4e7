"""Conversion between nchw and nhwc, in tiles, so that both loads and stores are coalesced."""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, P, y_n, y_p, y_c, x_n, x_p, x_c, C: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    n = tl.program_id(2)
    p = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS))[:, None]
    c = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[None, :]
    real = (p < P) & (c < C)
    tl.store(y + n * y_n + p * y_p + c * y_c, tl.load(x + n * x_n + p * x_p + c * x_c, mask=real), mask=real)
