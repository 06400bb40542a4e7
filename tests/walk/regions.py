"""The walk of layers on regions of interest that forks of Caffe define differently."""

from __future__ import annotations

from collections.abc import Callable

from .harness import Array, Becomes, Golden, Row, Trial, Walk, f32, image

FEATURES = [image(1, 2, 8, 8), f32([[0, 1, 1, 5, 6]])]
ONE_ANCHOR = [f32([[[[0]], [[0.5]]]]), f32([[[[0]]] * 4]), f32([[600, 800, 1]])]
THREE_CELLS = [f32([[[[0, 0, 0]], [[0.5, 0.4, 0.9]]]]), f32([[[[0] * 3]] * 4]), f32([[600, 800, 1]])]
TWO_CELLS = [f32([[[[0, 0]], [[0.9, 0.8]]]]), f32([[[[0, 0]]] * 4])]  # scores and deltas of one anchor


def regions(
    middle: float = 7.5, wide: float = 32, high: float = 32, stride: int = 16, keep: int = 2, scores: float = 1
) -> Callable[[Trial], list[Array]]:
    """Two boxes of the anchor, `stride` apart, cut to an image of 100 x 90; and their scores.

    Its sides are max - min + 1, those of a box max - min.
    """
    rows = [
        [0, max(c - (wide - 1) / 2, 0), max(middle - (high - 1) / 2, 0), c + (wide + 1) / 2, middle + (high + 1) / 2]
        for c in (middle, middle + stride)
    ]
    return lambda t: [f32(rows[:keep]), f32([0.9, 0.8][:keep]) * f32(scores)]


def listed(info: Array, dialect: str, scale: float, rows: dict[str, Row]) -> Walk:
    """The Proposal whose settings list ratios and scales."""
    return Walk(
        [*TWO_CELLS, info],
        {
            "feat_stride": Becomes({"feat_stride": 20}, regions(stride=20)),
            "min_size": Becomes({"min_size": 30}, regions(scores=0)),
            "pre_nms_topn": Becomes({"pre_nms_topn": 1}, regions(keep=1)),
            "post_nms_topn": Becomes({"post_nms_topn": 1}, regions(keep=1)),
            "nms_thresh": Becomes({"nms_thresh": 0.2}, regions(keep=1)),
            **rows,
        },
        {"ratio": [1], "scale": [scale]},
        tops=2,
        dialect=dialect,
    )


OF_BASE: dict[str, Row] = {
    "base_size": Becomes({"base_size": 10}, regions(middle=4.5, wide=20, high=20)),
    "ratio scale": Becomes({"ratio": [4], "scale": [2.5]}, regions(wide=20, high=80)),
}
OF_SCALE: dict[str, Row] = {
    "base_size": Becomes({"base_size": 10}, regions(middle=4.5)),
    "ratio scale": Becomes({"ratio": [4], "scale": [40]}, regions(wide=20, high=80)),
}
PROPOSAL: list[Walk] = [
    Walk(
        [f32([[[[0]]] * 18]), f32([[[[0]]] * 36]), f32([[600, 800, 1]])],
        {
            "max_rois rpn_nms_thresh": Golden("proposal_two_tops_small"),
            "rpn_min_size": Becomes({"rpn_min_size": 1000}, lambda t: f32([[0, 0, 0, 184, 360]])),  # the last one
            "pre_nms_topn": Becomes(
                {"pre_nms_topn": 1, "rpn_nms_thresh": 1, "anchor_scale": 1, "anchor_ratio": 1},
                # std::partial_sort leaves the others in the reverse order
                lambda t: f32([[0, 0, 0, 296, 264], [0, 0, 0, 280, 264], [0, 0, 0, 264, 264]]),
                THREE_CELLS,
            ),
            "feat_stride anchor_base_size": Golden("proposal_stride8"),
            "anchor_scale anchor_ratio": Becomes(
                {"anchor_scale": 1, "anchor_ratio": 1}, lambda t: f32([[0, 0, 0, 264, 264]]), ONE_ANCHOR
            ),
        },
        dialect="synopsys",
    ),
    listed(f32([[90, 100, 1, 1]]), "happynear", 32, OF_SCALE),
    listed(f32([[90, 100, 1, 1, 1, 1]]), "pva", 2, OF_BASE),
    listed(f32([[90, 100, 1]]), "mini-caffe", 2, OF_BASE),
]
ROI_ALIGN: list[Walk] = [
    Walk(
        FEATURES,
        {"pooled_h pooled_w spatial_scale": Golden("roi_align_batch2")},
        {"pooled_h": 2, "pooled_w": 2},
        dialect="synopsys",
    ),
    Walk(
        FEATURES,
        {
            "pooled_h pooled_w spatial_scale": Golden("roi_align_mscnn"),
            "pad_ratio": Golden("roi_align_mscnn_pad_ratio"),
        },
        {"pooled_h": 2, "pooled_w": 2},
        dialect="mscnn",
    ),
]
