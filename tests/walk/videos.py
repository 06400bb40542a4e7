"""The walk of layers on videos, images of three axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from .elements import fillers
from .harness import Array, Becomes, Golden, Nothing, Refused, Row, Trial, Walk, image

VIDEO = image(1, 2, 4, 6, 5)
GEMM = "it splits a matrix product, not its result"


def windows(x: Array, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> Array:
    """The windows [n, c, places..., kernel...] of x, which is padded with zeros on both sides."""
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    view = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), (2, 3, 4))
    strided: Array = view[:, :, :: stride[0], :: stride[1], :: stride[2]]
    return strided


def convolved(
    kernel: Sequence[int], stride: Sequence[int] = (1, 1, 1), pad: Sequence[int] = (0, 0, 0)
) -> Callable[[Trial], Array]:
    """The sum of each window times the weight, and the bias, if there is one."""

    def expected(t: Trial) -> Array:
        made: Array = np.einsum("ncdhwxyz,ocxyz->nodhw", windows(t.x[0], kernel, stride, pad), t.w[0])
        return made + t.w[1].reshape(1, -1, 1, 1, 1) if len(t.w) > 1 else made

    return expected


def largest(t: Trial) -> Array:
    """Windows of 2 by 3 by 3 at stride 2: the last column of windows is cut."""
    x = t.x[0]
    made = [x[:, :, i : i + 2, j : j + 3, k : k + 3].max((2, 3, 4)) for i, j, k in product((0, 2), (0, 2, 4), (0, 2))]
    return np.stack(made, -1).reshape(1, 2, 2, 3, 2)


def largest_rounded_up(t: Trial) -> Array:
    """Windows of 3 by 3 by 3 at stride 2, where 4 frames and 6 rows have one more, which is cut."""
    x = t.x[0]
    made = [x[:, :, i : i + 3, j : j + 3, k : k + 3].max((2, 3, 4)) for i, j, k in product((0, 2), (0, 2, 4), (0, 2))]
    return np.stack(made, -1).reshape(1, 2, 2, 3, 2)


def averages(t: Trial) -> Array:
    """Windows of 2 by 3 by 3 at stride 2, with a row and a column of zeros on both sides; the last rows are cut."""
    x = np.pad(t.x[0], ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1)))
    places = list(product((0, 2), (0, 2, 4, 6), (0, 2, 4)))
    sums = [
        x[:, :, i : i + 2, j : j + 3, k : k + 3].sum((2, 3, 4)) / (2 * (3 if j < 6 else 2) * 3) for i, j, k in places
    ]
    return np.stack(sums, -1).reshape(1, 2, 2, 4, 3)


def shape(*dims: int) -> dict[str, Any]:
    return {"dim": list(dims)}


C3D_CONVOLUTION: dict[str, Row] = {
    "weight_filler bias_filler": fillers(),
    "group": Refused(2),
}
WALKS: dict[str, Walk] = {
    "Convolution3D": Walk(
        [VIDEO],
        C3D_CONVOLUTION
        | {
            "num_output kernel_size kernel_depth pad temporal_pad stride temporal_stride": Golden("conv3d_c3d_strided"),
            "bias_term": Golden("conv3d_c3d_nobias"),
            "filter_group": Nothing(GEMM, [1, 2]),
        },
        {"num_output": 2, "kernel_size": 2, "kernel_depth": 2},
    ),
    "Deconvolution3D": Walk(
        [VIDEO],
        C3D_CONVOLUTION
        | {
            "num_output kernel_size kernel_depth pad temporal_pad stride temporal_stride": Golden("deconv3d_c3d_pad"),
            "bias_term": Refused(False),
            "filter_group": Refused(2),
        },
        {"num_output": 2, "kernel_size": 2, "kernel_depth": 1, "stride": 2},
    ),
    "NdConvolution": Walk(
        [VIDEO],
        {
            "kernel_shape": Becomes({"kernel_shape": shape(2, 3, 1)}, convolved((2, 3, 1))),
            "stride_shape": Becomes({"stride_shape": shape(1, 2, 3)}, convolved((2, 2, 2), (1, 2, 3))),
            "pad_shape": Becomes({"pad_shape": shape(0, 1, 2)}, convolved((2, 2, 2), (1, 1, 1), (0, 1, 2))),
            "num_output": Becomes({"num_output": 4}, convolved((2, 2, 2))),
            "bias_term": Becomes({"bias_term": False}, convolved((2, 2, 2))),
            "group": Becomes(
                {"group": 2},
                lambda t: np.concatenate(
                    [
                        np.einsum(
                            "nxdhwijk,xijk->ndhw",
                            windows(t.x[0][:, g : g + 1], (2, 2, 2), (1, 1, 1), (0, 0, 0)),
                            t.w[0][g],
                        )[:, None]
                        + t.w[1][g]
                        for g in (0, 1)
                    ],
                    1,
                ),
            ),
            "weight_filler bias_filler": fillers(),
            "force_nd_im2col": Nothing("it chooses an algorithm", [True, False]),
            "kernel_size stride pad dilation": Refused([2, 2, 2]),
            "pad_h pad_w kernel_h kernel_w stride_h stride_w": Refused(2),
            "kernel_depth temporal_stride temporal_pad filter_group": Refused(2),
            "pad_type pad_l pad_r pad_t pad_b axis": Refused(2),
        },
        {"num_output": 2, "kernel_shape": shape(2, 2, 2)},
    ),
    "NdPooling": Walk(
        [VIDEO],
        {
            "pool=AVE": Becomes(
                {"pool": "AVE"}, lambda t: windows(t.x[0], (2, 2, 1), (1, 1, 1), (0, 0, 0)).mean((5, 6, 7))
            ),
            "kernel_shape": Becomes(
                {"kernel_shape": shape(1, 3, 2)},
                lambda t: windows(t.x[0], (1, 3, 2), (1, 1, 1), (0, 0, 0)).max((5, 6, 7)),
            ),
            "stride_shape": Becomes(
                {"stride_shape": shape(2, 2, 1)},
                lambda t: windows(t.x[0], (2, 2, 1), (2, 2, 1), (0, 0, 0)).max((5, 6, 7)),
            ),
            "pad_shape": Becomes(
                {"pool": "AVE", "pad_shape": shape(1, 0, 0)},
                lambda t: windows(t.x[0], (2, 2, 1), (1, 1, 1), (1, 0, 0)).mean((5, 6, 7)),
            ),
            "global_pooling": Becomes({"global_pooling": True}, lambda t: t.x[0].max((2, 3, 4), keepdims=True)),
            "pool=STOCHASTIC": Refused("STOCHASTIC"),
            "pool=AVE_EXC_PAD": Refused("AVE_EXC_PAD"),
            "pool=AVE_TF": Refused("AVE_TF"),
            "kernel_size stride pad": Refused(2),
            "pad_h pad_w kernel_h kernel_w stride_h stride_w": Refused(2),
            "pad_type pad_l pad_r pad_t pad_b": Refused(2),
            "kernel_depth temporal_stride": Refused(2),
            "ceil_mode avg_include_pad": Refused(False),
            "torch_pooling": Refused(True),
            "round_mode=FLOOR": Refused("FLOOR"),
        },
        {"kernel_shape": shape(2, 2, 1)},
    ),
}
POOLING3D = [
    Walk(
        [VIDEO],
        {
            "pool=AVE pad": Becomes({"pool": "AVE", "pad": 1, "kernel_size": 3, "stride": 2}, averages),
            "kernel_depth temporal_stride": Golden("pool3d_c3d_max_222"),
            "kernel_size stride": Becomes({"kernel_size": 3, "stride": 2}, largest),
            "pool=STOCHASTIC": Refused("STOCHASTIC"),
            "pool=AVE_EXC_PAD": Refused("AVE_EXC_PAD"),
            "pool=AVE_TF": Refused("AVE_TF"),
        },
        {"kernel_size": 2, "kernel_depth": 2, "stride": 1, "temporal_stride": 2},
        dialect="c3d",
    ),
    Walk(
        [VIDEO],
        {
            "pool=AVE": Becomes(
                {"pool": "AVE"}, lambda t: windows(t.x[0], (2, 2, 2), (2, 2, 2), (0, 0, 0)).mean((5, 6, 7))
            ),
            "pool=AVE_EXC_PAD": Becomes(
                {"pool": "AVE_EXC_PAD", "pad": 1, "kernel_size": 3},
                lambda t: (
                    windows(t.x[0], (3, 3, 3), (2, 2, 2), (1, 1, 1)).sum((5, 6, 7))
                    / windows(np.ones_like(t.x[0]), (3, 3, 3), (2, 2, 2), (1, 1, 1)).sum((5, 6, 7))
                ),
            ),
            "kernel_size": Becomes(
                {"kernel_size": 3}, lambda t: windows(t.x[0], (3, 3, 3), (2, 2, 2), (0, 0, 0)).max((5, 6, 7))
            ),
            "kernel_d kernel_h kernel_w": Becomes(
                {"kernel_size": None, "kernel_d": 1, "kernel_h": 3, "kernel_w": 2},
                lambda t: windows(t.x[0], (1, 3, 2), (2, 2, 2), (0, 0, 0)).max((5, 6, 7)),
            ),
            "stride": Becomes({"stride": 1}, lambda t: windows(t.x[0], (2, 2, 2), (1, 1, 1), (0, 0, 0)).max((5, 6, 7))),
            "stride_d stride_h stride_w": Becomes(
                {"stride": None, "stride_d": 1, "stride_h": 3, "stride_w": 2},
                lambda t: windows(t.x[0], (2, 2, 2), (1, 3, 2), (0, 0, 0)).max((5, 6, 7)),
            ),
            "pad": Becomes(
                {"pool": "AVE", "pad": 1}, lambda t: windows(t.x[0], (2, 2, 2), (2, 2, 2), (1, 1, 1)).mean((5, 6, 7))
            ),
            "pad_d0 pad_h0 pad_w1": Becomes(
                {"pool": "AVE", "pad_d0": 1, "pad_h0": 1, "pad_w1": 1, "stride": 1},
                lambda t: windows(
                    np.pad(t.x[0], ((0, 0), (0, 0), (1, 0), (1, 0), (0, 1))), (2, 2, 2), (1, 1, 1), (0, 0, 0)
                ).mean((5, 6, 7)),
            ),
            "pad_d1 pad_h1 pad_w0": Becomes(
                {"pool": "AVE", "pad_d1": 1, "pad_h1": 1, "pad_w0": 1, "stride": 1},
                lambda t: windows(
                    np.pad(t.x[0], ((0, 0), (0, 0), (0, 1), (0, 1), (1, 0))), (2, 2, 2), (1, 1, 1), (0, 0, 0)
                ).mean((5, 6, 7)),
            ),
            "global_pooling": Becomes(
                {"kernel_size": None, "global_pooling": True}, lambda t: t.x[0].max((2, 3, 4), keepdims=True)
            ),
            "ceil_mode": Becomes({"ceil_mode": True, "kernel_size": 3}, largest_rounded_up),
            "pool=STOCHASTIC": Refused("STOCHASTIC"),
            "pool=AVE_TF": Refused("AVE_TF"),
        },
        {"kernel_size": 2, "stride": 2},
        dialect="synopsys",
    ),
]
