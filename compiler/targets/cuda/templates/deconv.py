"""Transposed convolution as an implicit GEMM: rows are pixels of the result, columns are its channels.

The pixels of a program have equal remainders by the strides, so that they read the same taps: every SH-th row and SW-th
column of the window. The last axis of the grid counts these phases, and for each of them the groups. weight is packed
[taps, o, c], c over all groups; C and O are channels per group. Outside the image x reads as 0.
"""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, extra, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    C: tl.constexpr, O: tl.constexpr, GROUPS: tl.constexpr, R: tl.constexpr, S: tl.constexpr,
    SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    DOWN: tl.constexpr = (R + SH - 1) // SH
    ACROSS: tl.constexpr = (S + SW - 1) // SW
    BLOCKS: tl.constexpr = (C + DEPTH - 1) // DEPTH
    group, phase = tl.program_id(2) % GROUPS, tl.program_id(2) // GROUPS
    h0, w0 = phase // SW, phase % SW
    high, wide = tl.maximum(tl.cdiv(OH - h0, SH), 1), tl.maximum(tl.cdiv(OW - w0, SW), 1)
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    o = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    n, h, w = i // (high * wide), h0 + i // wide % high * SH, w0 + i % wide * SW
    pixel, channel = (n < N) & (h < OH) & (w < OW), o < O
    image, matrix = x + n * x_n + group * C * x_c, weight + o * (GROUPS * C) + group * C
    r0, s0 = (h0 + PH) % SH, (w0 + PW) % SW
    top, left = (h + PH - r0) // SH, (w + PW - s0) // SW
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(DOWN * ACROSS * BLOCKS):
        tap, c = step // BLOCKS, step % BLOCKS * DEPTH + tl.arange(0, DEPTH)
        down, across = tap // ACROSS, tap % ACROSS
        r, s, ih, iw = r0 + down * SH, s0 + across * SW, top - down, left - across
        inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & pixel
        real = c < tl.where((r < R) & (s < S), C, 0)  # the window may end before the last step does
        place = image + ih * x_h + iw * x_w
        a = tl.load(place[:, None] + c[None, :] * x_c, mask=inside[:, None] & real[None, :], other=0.0)
        place = matrix[None, :] + (r * S + s) * (O * GROUPS * C) + c[:, None]
        b = tl.load(place, mask=channel[None, :] & real[:, None], other=0.0)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    n, h, w, c = n[:, None], h[:, None], w[:, None], (group * O + o)[None, :]
    value = epilogue(acc, extra, n, h, w, c, pixel[:, None], channel[None, :])
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=pixel[:, None] & channel[None, :])
