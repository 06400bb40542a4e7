"""Max pooling with an optional mask: TAPS elements of each window per step.

As in Caffe's pooling_layer.cpp, only values above -FLT_MAX are considered, so NaN never is; of equal values the first
is taken. `where`, the mask or None, receives the row-major index in the image, -1 if no value was considered.
"""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, where, x, extra, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    C: tl.constexpr, R: tl.constexpr, S: tl.constexpr,
    SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    ROWS: tl.constexpr, TAPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    LOWEST: tl.constexpr = -3.4028234663852886e38
    i, c = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    pixel, channel, image = n < N, c < C, x + n * x_n
    top, left = h * SH - PH, w * SW - PW
    acc = tl.full((ROWS, COLUMNS), LOWEST, tl.float32)
    found = tl.full((ROWS, COLUMNS), -1, tl.int32)
    for first in range(0, R * S, TAPS):
        tap = first + tl.arange(0, TAPS)
        ih, iw = top[:, None] + (tap // S)[None, :], left[:, None] + (tap % S)[None, :]
        inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & pixel[:, None] & (tap < R * S)[None, :]
        place = (image[:, None] + ih * x_h + iw * x_w)[:, :, None] + (c * x_c)[None, None, :]
        value = tl.load(place, mask=inside[:, :, None] & channel[None, None, :], other=LOWEST).to(tl.float32)
        value = tl.where(value > LOWEST, value, LOWEST)
        largest = tl.max(value, 1)
        if where is not None:
            at = tl.where((value == largest[:, None, :]) & inside[:, :, None], (ih * W + iw)[:, :, None], 2147483647)
            found = tl.where(largest > acc, tl.min(at, 1), found)
        acc = tl.where(largest > acc, largest, acc)
    n, h, w, c, pixel, channel = n[:, None], h[:, None], w[:, None], c[None, :], pixel[:, None], channel[None, :]
    place = n * y_n + h * y_h + w * y_w + c * y_c
    if where is not None:
        tl.store(where + place, found.to(tl.float32), mask=pixel & channel)
    tl.store(y + place, epilogue(acc, extra, n, h, w, c, pixel, channel), mask=pixel & channel)
