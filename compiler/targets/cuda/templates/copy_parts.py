"""Several strided copies in one launch: the operands of a concat, or the results of a slice, that are not aliased.

Each element of `pieces` is one copy: (y, x, first element of y and of x, number of elements, extents J, K, L, strides
of y along i, j, k, l, strides of x along i, j, k, l).
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
