"""The walk of layer types that forks of Caffe define differently: one for each dialect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .elements import TRAINING, fillers
from .harness import Array, Becomes, Golden, Nothing, Refused, Row, Trial, Walk, f32, image, same
from .regions import PROPOSAL, ROI_ALIGN
from .videos import POOLING3D

CUBE = image(2, 3, 4)
CLIPS = "it limits gradients"


def steps_of_ctpn(streams_apart: bool) -> Callable[[Trial], Array]:
    """The steps of lstm_layer.cpp, where all streams take the recurrent term of stream 0, or of lstm_layer.cu."""

    def expected(t: Trial) -> Array:
        x, (wx, wh, b) = t.x[0], t.w
        h = c = np.zeros((x.shape[1], wh.shape[1]), np.float32)
        made = []
        for step in x:
            sums = step.reshape(len(step), -1) @ wx.T + b + (h if streams_apart else h[:1]) @ wh.T
            i, f, o = np.split(1 / (1 + np.exp(-sums[:, : -wh.shape[1]])), 3, 1)
            c = f * c + i * np.tanh(sums[:, -wh.shape[1] :])
            h = o * np.tanh(c)
            made.append(h)
        return f32(made)

    return expected


def lstm(dialect: str, streams_apart: bool) -> Walk:
    rows: dict[str, Row] = {
        "num_output": Becomes({"num_output": 3}, steps_of_ctpn(streams_apart)),
        "clipping_threshold": Nothing(CLIPS, [0.5, 100.0]),
        "weight_filler bias_filler": fillers(),
    }
    return Walk([image(3, 2, 2, 2)], rows, {"num_output": 2}, dialect=dialect)


BN_ALIKE: dict[str, Row] = {
    "scale_filler shift_filler slope_filler bias_filler": fillers(),
    "frozen": Nothing(TRAINING, [True, False]),
    "momentum": Nothing(TRAINING, [0.5]),
    "var_eps": Refused(0.1),
    "moving_average": Refused(True),
}
WALKS: dict[str, list[Walk]] = {
    "BN": [
        Walk(
            [CUBE],
            {
                **BN_ALIKE,
                "bn_mode=INFERENCE": Golden("bn_segnet_inference"),
                "eps": Refused(0.1),
                "icnet": Refused(True),
            },
            dialect="segnet",
        ),
        Walk(
            [CUBE],
            {
                **BN_ALIKE,
                "bn_mode=INFERENCE": Refused("INFERENCE", words="bn_mode"),
                "eps": Golden("bn_pspnet_frozen_eps"),
                "icnet": Nothing("it says that this one is meant", [True, False]),
            },
            dialect="pspnet",
        ),
    ],
    "ContinuationIndicator": [
        Walk(
            [],
            {
                "time_step": Becomes({"time_step": 3}, lambda t: f32([[0, 0], [1, 1], [1, 1]])),
                "batch_size": Becomes({"batch_size": 3}, lambda t: f32([[0, 0, 0], [1, 1, 1]])),
            },
            {"time_step": 2, "batch_size": 2},
            dialect="crnn",
        ),
        Walk(
            [image(2, 3)],
            {
                "time_step": Becomes({"time_step": 3}, lambda t: f32([[0, 0], [1, 1], [1, 1]])),
                "axis": Becomes({"axis": 1}, lambda t: f32([[0, 0, 0], [1, 1, 1]])),
            },
            {"time_step": 2},
            dialect="jolibrain",
        ),
    ],
    "Lstm": [lstm("ctpn", streams_apart=False), lstm("ctpn-gpu", streams_apart=True)],
    "Crop": [
        Walk(
            [image(1, 2, 5, 6), image(1, 2, 3, 3)],
            {
                "offset": Becomes({"offset": [1, 2]}, lambda t: t.x[0][:, :, 1:4, 2:5]),
                "axis": Becomes({"axis": 3}, lambda t: t.x[0][..., 1:4]),
            },
            {"offset": [1]},
            dialect="bvlc",
        ),
        Walk([image(1, 2, 5, 6)], {}, reads=(0, 0), dialect="hed"),
    ],
    "Proposal": PROPOSAL,
    "ROIAlign": ROI_ALIGN,
    "Reverse": [
        Walk([CUBE], {"axis": Becomes({"axis": [2]}, lambda t: t.x[0][:, :, ::-1])}, dialect="ctpn"),
        Walk([CUBE], {"axis": Becomes({"axis": [-1, 0]}, lambda t: t.x[0][::-1, :, ::-1])}, dialect="synopsys"),
    ],
    "Pooling3D": POOLING3D,
    "Upsample": [
        Walk(
            [f32([[[[1, 2], [3, 4]]]]), f32([[[[0, 3], [4, 8]]]])],
            {
                "scale": same({"scale": 3}, {"upsample_h": 6, "upsample_w": 6}),
                "scale_h scale_w": Golden("upsample_mask_scale_hw"),
                "upsample_h upsample_w": Golden("upsample_mask_hw"),
                "pad_out_h pad_out_w": same({"pad_out_h": True, "pad_out_w": True}, {"upsample_h": 3, "upsample_w": 3}),
            },
            dialect="segnet",
        ),
        Walk(
            [f32([[[[1, 2]]]])],
            {"scale": Becomes({"scale": 2}, lambda t: f32([[[[1, 1, 2, 2]] * 2]]))},
            dialect="mobilenet-yolo",
        ),
    ],
}
