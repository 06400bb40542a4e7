"""Average pooling: TAPS elements of each window per step, with zeros outside the image.

As in Caffe's pooling_layer.cpp, the divisor is the size of the window clipped to the *padded* image; without PADDING,
clipped to the image. BELOW and RIGHT are the padding after its rows and columns.
"""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, x, extra, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    C: tl.constexpr, R: tl.constexpr, S: tl.constexpr,
    SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    BELOW: tl.constexpr, RIGHT: tl.constexpr, PADDING: tl.constexpr,
    ROWS: tl.constexpr, TAPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i, c = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    pixel, channel, image = n < N, c < C, x + n * x_n
    top, left = h * SH - PH, w * SW - PW
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, R * S, TAPS):
        tap = first + tl.arange(0, TAPS)
        ih, iw = top[:, None] + (tap // S)[None, :], left[:, None] + (tap % S)[None, :]
        inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & pixel[:, None] & (tap < R * S)[None, :]
        place = (image[:, None] + ih * x_h + iw * x_w)[:, :, None] + (c * x_c)[None, None, :]
        value = tl.load(place, mask=inside[:, :, None] & channel[None, None, :], other=0.0)
        acc += tl.sum(value.to(tl.float32), 1)
    if PADDING:
        count = (tl.minimum(top + R, H + BELOW) - top) * (tl.minimum(left + S, W + RIGHT) - left)
    else:
        count = (tl.minimum(top + R, H) - tl.maximum(top, 0)) * (tl.minimum(left + S, W) - tl.maximum(left, 0))
    acc = tl.div_rn(acc, tl.broadcast_to(count.to(tl.float32)[:, None], (ROWS, COLUMNS)))
    n, h, w, c, pixel, channel = n[:, None], h[:, None], w[:, None], c[None, :], pixel[:, None], channel[None, :]
    value = epilogue(acc, extra, n, h, w, c, pixel, channel)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=pixel & channel)
