"""The walk of layer types that forks of Caffe define differently: one for each dialect."""

from __future__ import annotations

from .harness import Becomes, Golden, Walk, f32, image, same
from .regions import PROPOSAL, ROI_ALIGN
from .videos import POOLING3D

CUBE = image(2, 3, 4)
WALKS: dict[str, list[Walk]] = {
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
