"""The windows of a convolution as channels: channel (c R + r) S + s is what a window has at c, r, s; then zeros."""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    C: tl.constexpr, R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr, CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    k = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    c, ih, iw = k // (R * S), h * SH - PH + k // S % R * DH, w * SW - PW + k % S * DW
    inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & (n < N) & (c < C)
    value = tl.load(x + n * x_n + ih * x_h + iw * x_w + c * x_c, mask=inside, other=0.0)
    tl.store(y + n * y_n + h * y_h + w * y_w + k * y_c, value, mask=(n < N) & (k < CHANNELS))
