"""Convolution as an implicit GEMM that loads the image by TMA, in tiles of TN pictures, TH rows and TW columns.

x is a descriptor of an image with channels innermost; outside the image it reads as 0. For stride 2 it describes the
same memory as [n, h / 2, 2, w / 2, 2 c], so that every second row and column are one TMA tile; C is a multiple of DEPTH
there. weight is a descriptor of [o, taps, c]. y holds the first OWN channels; the epilogue stores the rest.
"""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, extra, N, OH, OW, y_n, y_h, y_w, y_c,
    C: tl.constexpr, O: tl.constexpr, R: tl.constexpr, S: tl.constexpr, STRIDE: tl.constexpr,
    PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    TN: tl.constexpr, TH: tl.constexpr, TW: tl.constexpr,
    OWN: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    ROWS: tl.constexpr = TN * TH * TW
    BLOCKS: tl.constexpr = (C + DEPTH - 1) // DEPTH
    tile, down, across = tl.program_id(0), tl.cdiv(OH, TH), tl.cdiv(OW, TW)
    n0, h0, w0 = tile // (down * across) * TN, tile // across % down * TH, tile % across * TW
    o0 = tl.program_id(1) * COLUMNS
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(R * S * BLOCKS):
        tap, c0 = step // BLOCKS, step % BLOCKS * DEPTH
        ih, iw = tap // S * DH - PH, tap % S * DW - PW
        if STRIDE == 1:
            a = x.load([n0, h0 + ih, w0 + iw, c0])
        else:
            a = x.load([n0, h0 + (ih >> 1), ih & 1, w0 + (iw >> 1), (iw & 1) * C + c0])
        b = weight.load([o0, tap, c0])
        acc = tl.dot(a.reshape(ROWS, DEPTH), b.reshape(COLUMNS, DEPTH).T, acc, input_precision=PRECISION)
    i, c = tl.arange(0, ROWS)[:, None], o0 + tl.arange(0, COLUMNS)[None, :]
    n, h, w = n0 + i // (TH * TW), h0 + i // TW % TH, w0 + i % TW
    pixel, channel = (n < N) & (h < OH) & (w < OW), c < O
    value = epilogue(acc, extra, n, h, w, c, pixel, channel)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=pixel & channel & (c < OWN))
