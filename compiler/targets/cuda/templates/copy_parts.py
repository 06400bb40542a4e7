"""Several copies at once, for what cannot lie in its place: the pieces of a concat, or of a slice.

Each piece is (y, x, at which of their elements it begins, its count of elements, their extents j, k, l, then y's and
x's strides along i, j, k, l).
"""

import triton
import triton.language as tl


@triton.jit
def kernel(pieces, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    for piece in tl.static_range(len(pieces)):
        if tl.program_id(1) == piece:
            y, x, y_0, x_0, count, J, K, L, y_i, y_j, y_k, y_l, x_i, x_j, x_k, x_l = pieces[piece]
            i, j, k, l = at // (J * K * L), at // (K * L) % J, at // L % K, at % L
            value = tl.load(x + x_0 + i * x_i + j * x_j + k * x_k + l * x_l, mask=at < count)
            tl.store(y + y_0 + i * y_i + j * y_j + k * y_k + l * y_l, value, mask=at < count)
