"""Convolution as an implicit GEMM on sm_90: the weight times windows of the image, both loaded by TMA.

A program computes COLUMNS output channels of TN pictures, TH rows and TW columns. x is a descriptor of an image with
channels innermost; outside the image it reads as 0. With a stride it describes the same memory as
[n, h / SH, SH, w / SW, SW c], so that every SH-th row and SW-th column are one tile; C is a multiple of DEPTH if SW is
not 1. weight is a descriptor of [taps, o, c], and for f32 `rest` as well, the second parts of the weight (`multiply`).
With SPLIT, that many programs compute a tile, each a part of the inner loop, and the last one adds what they found.
y holds the first OWN channels; the epilogue stores the rest.
"""

import triton
import triton.language as tl

from .tensor_cores import is_last_part, multiply, sum_parts


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, rest, extra, partial, counters, N, OH, OW, y_n, y_h, y_w, y_c,
    C: tl.constexpr, O: tl.constexpr, R: tl.constexpr, S: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    TN: tl.constexpr, TH: tl.constexpr, TW: tl.constexpr,
    OWN: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    ROWS: tl.constexpr = TN * TH * TW
    BLOCKS: tl.constexpr = (C + DEPTH - 1) // DEPTH
    STEPS: tl.constexpr = (R * S * BLOCKS + SPLIT - 1) // SPLIT
    WIDE: tl.constexpr = (O + COLUMNS - 1) // COLUMNS
    tile, o0 = tl.program_id(0) // WIDE, tl.program_id(0) % WIDE * COLUMNS
    down, across = tl.cdiv(OH, TH), tl.cdiv(OW, TW)
    n0, h0, w0 = tile // (down * across) * TN, tile // across % down * TH, tile % across * TW
    acc = tl.zeros((COLUMNS, ROWS) if rest is None else (ROWS, COLUMNS), tl.float32)
    first = tl.program_id(1) * STEPS
    for step in range(first, tl.minimum(first + STEPS, R * S * BLOCKS)):
        tap, c0 = step // BLOCKS, step % BLOCKS * DEPTH
        if SH * SW == 1:
            a = x.load([n0, h0 + tap // S * DH - PH, w0 + tap % S * DW - PW, c0])
        else:  # SH PH is added before dividing, since places before the image are negative
            ih, iw = tap // S * DH + (SH - 1) * PH, tap % S * DW + (SW - 1) * PW
            a = x.load([n0, h0 + ih // SH - PH, ih % SH, w0 + iw // SW - PW, iw % SW * C + c0])
        b = weight.load([tap, o0, c0]).reshape(COLUMNS, DEPTH)
        small = None if rest is None else rest.load([tap, o0, c0]).reshape(COLUMNS, DEPTH)
        acc = multiply(acc, a.reshape(ROWS, DEPTH), b, small)
    if SPLIT > 1:
        if not is_last_part(acc, partial, counters, SPLIT):
            return
        acc = sum_parts(acc, partial, SPLIT)
    i, c = tl.arange(0, ROWS)[:, None], o0 + tl.arange(0, COLUMNS)[None, :]
    n, h, w = n0 + i // (TH * TW), h0 + i // TW % TH, w0 + i % TW
    pixel, channel = (n < N) & (h < OH) & (w < OW), c < O
    value = epilogue(acc.T if rest is None else acc, extra, n, h, w, c, pixel, channel)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=pixel & channel & (c < OWN))
