"""Linear interpolation with aligned corners: index i of the result is at i · SCALE of the image without TOP and LEFT.

Positions are f32, as in Caffe, and the neighbour behind one takes part even with a weight of 0. Their products are
rounded by a conversion: a product of f32 would be fused with the subtraction after it, and not be rounded at all.
"""

import triton
import triton.language as tl


@triton.jit
def kernel(
    y, x, N, H, W, OH, OW, y_n, y_h, y_w, y_c, x_n, x_h, x_w, x_c, C: tl.constexpr, TOP: tl.constexpr,
    LEFT: tl.constexpr, SCALE_H: tl.constexpr, SCALE_W: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    i = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    c = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    n, h, w = i // (OH * OW), i // OW % OH, i % OW
    real = (n < N) & (c < C)
    at_h, at_w = (h.to(tl.float64) * SCALE_H).to(tl.float32), (w.to(tl.float64) * SCALE_W).to(tl.float32)
    ih, iw = at_h.to(tl.int32), at_w.to(tl.int32)
    down, right = at_h - ih.to(tl.float32), at_w - iw.to(tl.float32)
    image, below, beside = x + n * x_n + c * x_c, tl.minimum(ih + 1, H - 1), tl.minimum(iw + 1, W - 1)
    above_left = tl.load(image + (ih + TOP) * x_h + (iw + LEFT) * x_w, mask=real, other=0.0).to(tl.float32)
    above_right = tl.load(image + (ih + TOP) * x_h + (beside + LEFT) * x_w, mask=real, other=0.0).to(tl.float32)
    below_left = tl.load(image + (below + TOP) * x_h + (iw + LEFT) * x_w, mask=real, other=0.0).to(tl.float32)
    below_right = tl.load(image + (below + TOP) * x_h + (beside + LEFT) * x_w, mask=real, other=0.0).to(tl.float32)
    left = above_left * (1.0 - down) + below_left * down
    value = left * (1.0 - right) + (above_right * (1.0 - down) + below_right * down) * right
    tl.store(y + n * y_n + h * y_h + w * y_w + c * y_c, value, mask=real)
