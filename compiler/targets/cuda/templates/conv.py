"""Convolution as an implicit GEMM: rows are output pixels, columns are output channels.

x is an image with any strides (`x_n` between pictures, `x_h` rows, `x_w` columns, `x_c` channels), fastest with
channels innermost; weight is packed [taps, o, c]. C and O are channels per group. Outside the image x reads as 0. With
FLAT the inner loop runs over taps and channels as one axis, for images of few channels. `rest`, if it is not None, has
to be added to the weight. y holds the first OWN output channels; the epilogue stores the rest.
"""

import triton
import triton.language as tl


@triton.jit
def epilogue(acc, extra, picture, row, column, channel, pixels, channels):
    return acc


@triton.jit
def kernel(
    y, x, weight, rest, extra, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c,
    C: tl.constexpr, O: tl.constexpr, R: tl.constexpr, S: tl.constexpr,
    SH: tl.constexpr, SW: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    OWN: tl.constexpr, FLAT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(2)
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    o = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    pixel, channel = n < N, o < O
    image, matrix, TAP = x + n * x_n + group * C * x_c, (group * O + o) * C, tl.num_programs(2) * O * C
    top, left = h * SH - PH, w * SW - PW
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    if FLAT:
        for start in range(0, R * S * C, DEPTH):
            k = start + tl.arange(0, DEPTH)
            r, s, c = k // (S * C), k // C % S, k % C
            ih, iw = top[:, None] + r[None, :] * DH, left[:, None] + s[None, :] * DW
            inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & pixel[:, None] & (k < R * S * C)[None, :]
            a = tl.load(image[:, None] + ih * x_h + iw * x_w + c[None, :] * x_c, mask=inside, other=0.0)
            place, real = matrix[None, :] + (k // C * TAP + c)[:, None], channel[None, :] & (k < R * S * C)[:, None]
            b = tl.load(weight + place, mask=real, other=0.0)
            if rest is not None:
                b += tl.load(rest + place, mask=real, other=0.0)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
    else:
        BLOCKS: tl.constexpr = (C + DEPTH - 1) // DEPTH
        for step in range(R * S * BLOCKS):
            tap, c = step // BLOCKS, step % BLOCKS * DEPTH + tl.arange(0, DEPTH)
            ih, iw = top + tap // S * DH, left + tap % S * DW
            inside = (ih >= 0) & (ih < H) & (iw >= 0) & (iw < W) & pixel
            place = image + ih * x_h + iw * x_w
            a = tl.load(place[:, None] + c[None, :] * x_c, mask=inside[:, None] & (c < C)[None, :], other=0.0)
            place, real = matrix[None, :] + (tap * TAP + c)[:, None], channel[None, :] & (c < C)[:, None]
            b = tl.load(weight + place, mask=real, other=0.0)
            if rest is not None:
                b += tl.load(rest + place, mask=real, other=0.0)
            acc = tl.dot(a, b, acc, input_precision=PRECISION)
    n, h, w, c = n[:, None], h[:, None], w[:, None], (group * O + o)[None, :]
    value = epilogue(acc, extra, n, h, w, c, pixel[:, None], channel[None, :])
    mine = pixel[:, None] & channel[None, :] & (c < OWN)
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=mine)
