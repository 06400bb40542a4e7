"""Transposed convolution of each channel alone, to EACH output channels. weight is packed [r, s, o]."""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, extra, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    O: tl.constexpr, EACH: tl.constexpr, R: tl.constexpr, S: tl.constexpr,
    SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    c = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    pixel, channel = n < N, c < O
    image = x + n * x_n + c // EACH * x_c
    r0, s0 = (h + PH) % SH, (w + PW) % SW  # the first of the taps that reach this pixel
    top, left = (h + PH) // SH, (w + PW) // SW
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for down in range((R + SH - 1) // SH):
        for across in range((S + SW - 1) // SW):
            r, s, ih, iw = r0 + down * SH, s0 + across * SW, top - down, left - across
            real = pixel & channel & (r < R) & (s < S)
            inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & real
            a = tl.load(image + ih * x_h + iw * x_w, mask=inside, other=0.0)
            b = tl.load(weight + (r * S + s) * O + c, mask=inside, other=0.0)
            acc += a.to(tl.float32) * b.to(tl.float32)
    value = epilogue(acc, extra, n, h, w, c, pixel, channel)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=pixel & channel)
