"""The walk of layers on images: windows, normalization, resizing, detection."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from .elements import fillers
from .harness import Array, Becomes, Golden, Nothing, Refused, Row, Trial, Walk, f32, image, same

HOW = "it chooses an algorithm, not what is computed"
PICTURE = image(1, 2, 6, 7)
BATCHES = image(2, 2, 3, 6, 7)


def at_axis_two(t: Trial) -> Array:
    """What the layer makes of the same images with the first two axes as one batch."""
    made = t.one({}, [t.x[0].reshape(4, *t.x[0].shape[2:])])
    return made.reshape(2, 2, *made.shape[1:])


def padded(t: Trial) -> Array:
    """The answer for an image with zeros around it: 1 row above, 3 below, 2 columns to the left, 1 to the right."""
    return t.one({}, [np.pad(t.x[0], ((0, 0), (0, 0), (1, 3), (2, 1)))])


def tensorflow_padded(t: Trial) -> Array:
    """TensorFlow's SAME for a window of 3 at stride 2: 5 rows need 1 on both sides, 6 columns 1 to the right."""
    return t.one({"stride": 2}, [np.pad(t.x[0], ((0, 0), (0, 0), (1, 1), (0, 1)))])


SIDES: dict[str, Row] = {
    "pad_l pad_r pad_t pad_b": Becomes({"pad_l": 2, "pad_r": 1, "pad_t": 1, "pad_b": 3}, padded),
    "pad_type": Becomes({"pad_type": 1, "stride": 2}, tensorflow_padded),
}


def cropped(t: Trial) -> Array:
    """The answer without the pixels that padding takes from the result of a deconvolution."""
    return t.one()[:, :, 1:-3, 2:-1]


def windows(goldens: dict[str, Row], group: str = "", learns: bool = True) -> dict[str, Row]:
    """The rows of Convolution, Deconvolution and Im2col."""
    unread = {"num_output group": Refused(4), "bias_term": Refused(False)}
    return {
        "kernel_h kernel_w": same({"kernel_size": None, "kernel_h": 2, "kernel_w": 3}, {"kernel_size": [2, 3]}),
        "pad_h pad_w": same({"pad_h": 1, "pad_w": 2}, {"pad": [1, 2]}),
        "stride_h stride_w": same({"stride_h": 2, "stride_w": 3}, {"stride": [2, 3]}),
        "weight_filler bias_filler": fillers(),
        "force_nd_im2col": Nothing(HOW, [True, False]),
        "kernel_depth temporal_pad": Refused(2),
        "temporal_stride filter_group": Refused(2),
        "kernel_shape stride_shape pad_shape": Refused({"dim": [2, 2]}),
        **(SIDES if learns else {"pad_l pad_r pad_t pad_b pad_type": Refused(2)}),
        **goldens,
        **({} if learns else unread),
    }


def averages(t: Trial) -> Array:
    """Windows of 3 at stride 3 over rows -1 to 6 and columns -2 to 6; those of the last row have two rows."""
    made = [
        t.x[0][..., max(top, 0) : top + 3, max(left, 0) : left + 3].sum((2, 3)) / ((2 if top == 5 else 3) * 3)
        for top, left in product((-1, 2, 5), (-2, 1, 4))
    ]
    return f32(np.stack(made, -1).reshape(1, 2, 3, 3))


def stochastic(t: Trial) -> Array:
    """pooling_layer.cu, StoPoolForwardTest: the mean of each window, weighted by its elements."""
    x = t.x[0].reshape(1, 2, 3, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(1, 2, 3, 3, 4)
    total: Array = (x**2).sum(-1) / x.sum(-1)
    return total


def boxes_of(t: Trial, settings: dict[str, Any]) -> Array:
    """PriorBox without flipped boxes: the first two of three at each position."""
    made = t.one({**settings, "flip": True}).reshape(1, 2, -1, 3, 4)[:, :, :, :2]
    return made.reshape(1, 2, -1)


def shifted(t: Trial) -> Array:
    """PriorBox with the centres half a step further: 10 pixels of an image of 60 x 70."""
    made = t.one().reshape(2, -1, 4).copy()
    made[0] += f32([5 / 70, 5 / 60, 5 / 70, 5 / 60])
    return made.reshape(1, 2, -1)


def twice(t: Trial) -> Array:
    """PriorBox with each box also half a step of 10 pixels below, in an image of 60."""
    made = t.one().reshape(2, -1, 1, 4)
    lower = made + f32([[0, 5 / 60, 0, 5 / 60], [0, 0, 0, 0]])[:, None, None]
    return np.concatenate([made, lower], 2).reshape(1, 2, -1)


def clipped(t: Trial) -> Array:
    made = t.one().copy()
    made[:, 0] = made[:, 0].clip(0, 1)
    return made


# Two boxes far apart, of two classes each: decoded by hand in `corner_size` and the others below.
PRIORS = f32([[[0.1, 0.1, 0.3, 0.4, 0.6, 0.5, 0.9, 0.7], [0.1, 0.2, 0.3, 0.4] * 2]])
LOC = f32([[0.5, -0.5, 0.25, 0.5, -0.25, 0.5, 0.5, -0.5]])
CONF = f32([[0.2, 0.8, 0.3, 0.7]])
OVERLAPPING = f32([[0, 0, 0.4, 0.4], [0, 0.1, 0.4, 0.5]])  # by 0.12 of 0.2: 0.6
ALIKE = np.concatenate([OVERLAPPING.reshape(1, 1, 8), PRIORS[:, 1:]], 1)
NO_IMAGE = np.zeros((1, 3, 2, 2), np.float32)
NO_SHIFT = np.zeros((1, 8), np.float32)
CONF_OF_THREE = f32([[0.1, 0.6, 0.3, 0.2, 0.1, 0.7]])
# share_location: false: boxes of the background, which nothing reads, and then of class 1, for each prior.
LOC_PER_CLASS = np.concatenate([np.full((2, 4), 9, np.float32), LOC.reshape(2, 4)], 1).reshape(1, 16)


def rows(label: int, scores: tuple[float, float], boxes: Array) -> Array:
    """[1, 1, 2, 7]: image 0, label, score, box, the higher score first."""
    found = [[0, label, s, *b] for s, b in zip(scores, boxes, strict=True)]
    return f32(sorted(found, key=lambda row: -row[2]))[None, None]


def decoded(scale: Array) -> Array:
    """prior + variance * loc, per box; times the prior's size for CORNER_SIZE (bbox_util.cpp, DecodeBBox)."""
    prior, variance = PRIORS[0].reshape(2, 2, 4)
    made: Array = prior + variance * LOC.reshape(2, 4) * scale
    return made


def corner(t: Trial) -> Array:
    return decoded(np.ones((2, 4), np.float32))


def sizes() -> Array:
    prior = PRIORS[0, 0].reshape(2, 4)
    size = prior[:, 2:] - prior[:, :2]
    return np.concatenate([size, size], 1)


def of_three_classes(t: Trial) -> Array:
    """The classes beside the background in their order, each with the higher score first."""
    first, second = corner(t)
    found = [[0, 1, 0.6, *first], [0, 1, 0.1, *second], [0, 2, 0.7, *second], [0, 2, 0.3, *first]]
    return f32(found)[None, None]


def linear(x: Array, axis: int, count: int, step: float, start: float = 0) -> Array:
    """x along one axis at `count` places: `start` and on by `step`; beyond the ends it is the last element."""
    places = np.clip(start + step * np.arange(count), 0, x.shape[axis] - 1)
    low = places.astype(int)
    part = (places - low).reshape(-1, *[1] * (x.ndim - 1 - axis))
    return f32(x.take(low, axis) * (1 - part) + x.take(np.minimum(low + 1, x.shape[axis] - 1), axis) * part)


WALKS = {
    "Convolution": Walk(
        [image(1, 4, 5, 6)],
        windows(
            {
                "num_output kernel_size pad": Golden("bn_segnet_inplace"),
                "stride": Golden("conv_1x1_stride2"),
                "bias_term": Golden("conv_no_bias"),
                "dilation": Golden("conv_dilated_rect"),
                "group": Golden("conv_group"),
                "axis": Golden("conv_axis2"),
            }
        ),
        {"num_output": 2, "kernel_size": 3},
    ),
    "ConvolutionDepthwise": Walk(
        [image(1, 4, 5, 6)],
        windows(
            {
                "kernel_size pad": Golden("conv_depthwise_dw_3x3"),
                "num_output": Golden("conv_depthwise_dw_multiplier"),
                "stride bias_term": Golden("conv_depthwise_dw_stride2_nobias"),
                "dilation": Golden("conv_depthwise_dw_dilated"),
                "group": Nothing("it is the count of channels, whatever is written", [1, 2, 4]),
                "axis": Becomes({"axis": 2}, at_axis_two, [image(2, 2, 4, 6, 7)]),
            }
        ),
        {"num_output": 4, "kernel_size": 3},
    ),
    "DepthwiseConvolution": Walk(
        [image(1, 4, 5, 6)],
        windows(
            {
                "num_output kernel_size pad": Golden("depthwise_conv_3x3"),
                "kernel_h kernel_w pad_h pad_w stride_h stride_w": Golden("depthwise_conv_rect"),
                "dilation": Golden("depthwise_conv_dilated"),
                "group bias_term": Golden("depthwise_separable_block"),
                "stride": same({"stride": 2}, {"stride_h": 2, "stride_w": 2}),
                "axis": Becomes({"axis": 2}, at_axis_two, [image(2, 2, 4, 6, 7)]),
            },
        ),
        {"num_output": 4, "kernel_size": 3},
    ),
    "Deconvolution": Walk(
        [PICTURE],
        windows(
            {
                "pad_l pad_r pad_t pad_b": Becomes({"pad_l": 2, "pad_r": 1, "pad_t": 1, "pad_b": 3}, cropped),
                "pad_type": Refused(1),
                "num_output kernel_size pad stride": Golden("deconv"),
                "bias_term": Golden("deconv_no_bias"),
                "dilation": Golden("deconv_rect_dilated"),
                "group": Golden("deconv_group"),
            }
        )
        | {"axis": Becomes({"axis": 2}, at_axis_two, [BATCHES])},
        {"num_output": 2, "kernel_size": 3},
    ),
    "Im2col": Walk(
        [PICTURE],
        windows(
            {
                "kernel_size pad stride": Golden("im2col"),
                "dilation": Golden("im2col_dilated"),
                "axis": Becomes({"axis": 2}, at_axis_two, [BATCHES]),
            },
            learns=False,
        ),
        {"kernel_size": 3},
    ),
    "Pooling": Walk(
        [np.abs(image(1, 2, 6, 6))],
        {
            "pool=AVE": Golden("pool_ave_2x2s2"),
            "pool=STOCHASTIC": Becomes({"pool": "STOCHASTIC"}, stochastic),
            "pool=AVE_EXC_PAD": Golden("pooling_fork_ave_exc_pad"),
            "pool=AVE_TF": same({"pool": "AVE_TF", "pad": 1}, {"pool": "AVE_EXC_PAD", "pad": 1}),
            "kernel_size stride": Golden("pool_ave_2x2s2"),
            "pad": Golden("pool_ave_3x3s1p1"),
            "kernel_h kernel_w": Golden("pool_ave_rect"),
            "pad_h pad_w": same({"pad_h": 1, "pad_w": 1}, {"pad": 1}),
            "stride_h stride_w": Golden("pool_ave_rect"),
            "global_pooling": Golden("pool_ave_global"),
            "round_mode=FLOOR": Becomes(
                {"kernel_size": 3, "round_mode": "FLOOR"}, lambda t: t.one({"kernel_size": 3})[:, :, :2, :2]
            ),
            "ceil_mode": Golden("pooling_fork_ave_ceil_false"),
            "avg_include_pad": same(
                {"pool": "AVE", "pad": 1, "avg_include_pad": False}, {"pool": "AVE_EXC_PAD", "pad": 1}
            ),
            "torch_pooling": Refused(True),
            "kernel_depth temporal_stride": Refused(2),
            "kernel_shape stride_shape pad_shape": Refused({"dim": [2, 2]}),
            "pad_l pad_r pad_t pad_b": Becomes(
                {"pool": "AVE", "pad_l": 2, "pad_r": 1, "pad_t": 1, "pad_b": 1, "stride": 3, "kernel_size": 3}, averages
            ),
            "pad_type": same(
                {"pool": "AVE", "pad_type": 1, "kernel_size": 3},
                {"pool": "AVE", "pad_b": 1, "pad_r": 1, "kernel_size": 3},
            ),
        },
        {"kernel_size": 2, "stride": 2},
    ),
    "SPP": Walk(
        [PICTURE],
        {
            "pyramid_height": Golden("spp"),
            "pool=AVE": Becomes({"pool": "AVE"}, lambda t: t.x[0].mean((2, 3))),
            "pool=STOCHASTIC": Refused("STOCHASTIC", words="cortado does not compute pool: STOCHASTIC"),
            "pool=AVE_EXC_PAD": Refused("AVE_EXC_PAD"),
            "pool=AVE_TF": Refused("AVE_TF"),
        },
        {"pyramid_height": 1},
    ),
    "LRN": Walk(
        [PICTURE],
        {
            "local_size alpha beta k": Golden("lrn_size3"),
            "norm_region=WITHIN_CHANNEL": Golden("lrn_within"),
        },
    ),
    "Normalize": Walk(
        [PICTURE],
        {
            "across_spatial channel_shared": Golden("normalize_ssd"),
            "scale_filler": fillers(),
            "eps": Golden("normalize_eps"),
            "add_eps_before_sqrt": Refused(False),
        },
    ),
    "MVN": Walk(
        [PICTURE],
        {
            "normalize_variance": Golden("mvn_no_variance"),
            "across_channels": Golden("mvn_across"),
            "eps": Becomes(
                {"eps": 0.5},
                lambda t: (t.x[0] - t.x[0].mean((2, 3), keepdims=True)) / (t.x[0].std((2, 3), keepdims=True) + 0.5),
            ),
            "add_eps_before_sqrt": Becomes(
                {"add_eps_before_sqrt": True, "eps": 0.5},
                lambda t: (
                    (t.x[0] - t.x[0].mean((2, 3), keepdims=True)) / np.sqrt(t.x[0].var((2, 3), keepdims=True) + 0.5)
                ),
            ),
        },
    ),
    "Interp": Walk(
        [PICTURE],
        {
            "height width": Golden("interp_height_width_up"),
            "zoom_factor": Golden("interp_zoom2"),
            "shrink_factor": Golden("interp_shrink2"),
            "pad_beg pad_end": Golden("interp_crop"),
            "full_zoom_factor": Golden("interp_full_zoom"),
            "use_blob_size": Refused(True),  # with a second bottom: test_ops_resize.py
        },
        {"zoom_factor": 1},
    ),
    "ResizeBilinear": Walk(
        [image(1, 2, 3, 4, 5)],
        {
            "align_corners": Becomes({"align_corners": True, "output_depth": 9}, lambda t: linear(t.x[0], 4, 9, 0.5)),
            "half_pixel_centers": Becomes(
                {"half_pixel_centers": True, "output_depth": 10}, lambda t: linear(t.x[0], 4, 10, 0.5, -0.25)
            ),
            "pytorch_half_pixel": Becomes(  # of one element: test_ops_resize.py
                {"pytorch_half_pixel": True, "output_depth": 10}, lambda t: linear(t.x[0], 4, 10, 0.5, -0.25)
            ),
            "output_height": Becomes({"output_height": 6}, lambda t: linear(t.x[0], 2, 6, 0.5)),
            "output_width": Becomes({"output_width": 8}, lambda t: linear(t.x[0], 3, 8, 0.5)),
            "output_depth": Becomes({"output_depth": 10}, lambda t: linear(t.x[0], 4, 10, 0.5)),
            "scale_height": Becomes({"scale_height": 2.1}, lambda t: linear(t.x[0], 2, 6, 0.5)),
            "scale_width": Becomes({"scale_width": 2}, lambda t: linear(t.x[0], 3, 8, 0.5)),
            "scale_depth": Becomes({"scale_depth": 2}, lambda t: linear(t.x[0], 4, 10, 0.5)),
            "data_format": Becomes(
                {"data_format": "NHWC", "output_width": 8}, lambda t: linear(t.x[0], 2, 8, 0.5), [image(1, 3, 4, 2)]
            ),
        },
        {"data_format": "NCHWD"},
    ),
    "ResizeNearestNeighbor": Walk(
        [image(1, 2, 3, 4)],
        {
            "align_corners": Becomes(
                {"align_corners": True, "output_width": 7}, lambda t: t.x[0][..., [0, 1, 1, 2, 2, 3, 3]]
            ),
            "half_pixel_centers": Becomes(
                {"half_pixel_centers": True, "output_width": 3}, lambda t: t.x[0][..., [0, 2, 3]]
            ),
            "half_pixel_onnx": Becomes(
                {"half_pixel_onnx": True, "output_width": 8}, lambda t: t.x[0][..., [0, 0, 0, 1, 1, 2, 2, 3]]
            ),
            "output_height": Becomes({"output_height": 2}, lambda t: t.x[0][:, :, [0, 1]]),
            "output_width": Becomes({"output_width": 3}, lambda t: t.x[0][..., [0, 1, 2]]),
            "scale_height": Becomes({"scale_height": 2}, lambda t: t.x[0].repeat(2, 2)),
            "scale_width": Becomes({"scale_width": 2}, lambda t: t.x[0].repeat(2, 3)),
            "data_format": Becomes({"data_format": "NHWC", "output_width": 6}, lambda t: t.x[0].repeat(2, 2)),
        },
        {"data_format": "NCHW"},
    ),
    "Accum": Walk(
        [image(1, 2, 3, 4)],
        {
            "top_height top_width": Becomes(
                {"top_height": 5, "top_width": 7}, lambda t: linear(linear(t.x[0], 2, 5, 0.5), 3, 7, 0.5)
            ),
            "size_divisible_by": Golden("accum_div"),
            "have_reference": Refused(True),  # with a second bottom: test_ops_resize.py
        },
    ),
    "UpsampleDarknet": Walk([PICTURE], {"stride": Golden("upsample_darknet")}),
    "PriorBox": Walk(
        [np.zeros((1, 1, 6, 7), np.float32), np.zeros((1, 3, 60, 70), np.float32)],
        {
            "min_size max_size aspect_ratio variance": Golden("detection_output_corner"),
            "flip": Becomes({"flip": False, "aspect_ratio": [2]}, lambda t: boxes_of(t, {"aspect_ratio": [2]})),
            "clip": Becomes({"clip": True}, clipped),
            "img_size": same({"img_size": 50}, {"img_h": 50, "img_w": 50}),
            "img_h img_w step_h step_w": Golden("prior_box_img_size"),
            "step": same({"step": 8}, {"step_h": 8, "step_w": 8}),
            "offset": Becomes({"offset": 1}, shifted),
            "denser_prior_boxes": Becomes({"denser_prior_boxes": True}, twice),
            "offset_h offset_w": same({"offset_h": [0.5, 1], "offset_w": [0.5, 0.5]}, {"denser_prior_boxes": True}),
        },
        {"min_size": [30]},
    ),
    "Python": Walk(
        [PICTURE],
        {
            "module layer": Refused("other", "is not in the file"),
            "param_str": Becomes({"param_str": "{'phase': 'TEST', 'p': 0.75}"}, lambda t: t.x[0] * 4),
            "share_in_parallel": Nothing("it is about several solvers", [True]),
        },
        {"module": "spatial_dropout", "layer": "SpatialDropoutLayer", "param_str": "{'phase': 'TEST', 'p': 0.5}"},
    ),
    "ROIPooling": Walk(
        [image(1, 2, 8, 8), f32([[0, 1, 1, 5, 6]])],
        {
            "pooled_h pooled_w spatial_scale": Golden("roi_pooling_quarter_scale"),
            "pad_ratio": Golden("roi_pooling_pad_ratio"),
        },
        {"pooled_h": 2, "pooled_w": 2},
    ),
    "PSROIPooling": Walk(
        [image(1, 8, 8, 8), f32([[0, 1, 1, 5, 6]])],
        {
            "spatial_scale": Golden("psroi_pooling_7"),
            "output_dim group_size": Becomes(
                {"output_dim": 8, "group_size": 1}, lambda t: t.x[0][:, :, 1:7, 1:6].mean((2, 3), keepdims=True)
            ),
        },
        {"output_dim": 2, "group_size": 2, "spatial_scale": 1},
    ),
    "DetectionOutput": Walk(
        [LOC, CONF, PRIORS],
        {
            "num_classes": Becomes({"num_classes": 3}, of_three_classes, [LOC, CONF_OF_THREE, PRIORS]),
            "nms_param": Becomes(
                {"nms_param": {"nms_threshold": 0.7}},
                lambda t: rows(1, (0.8, 0.7), OVERLAPPING),
                [NO_SHIFT, CONF, ALIKE],
            ),
            "keep_top_k": Becomes({"keep_top_k": 1}, lambda t: rows(1, (0.8, 0.7), corner(t))[:, :, :1]),
            "confidence_threshold": Becomes(
                {"confidence_threshold": 0.75}, lambda t: rows(1, (0.8, 0.7), corner(t))[:, :, :1]
            ),
            "code_type=CENTER_SIZE": Golden("detection_output_eta"),
            "code_type=CORNER_SIZE": Becomes(
                {"code_type": "CORNER_SIZE"}, lambda t: rows(1, (0.8, 0.7), decoded(sizes()))
            ),
            "variance_encoded_in_target": Golden("detection_output_variance_in_target"),
            "background_label_id": Becomes({"background_label_id": 1}, lambda t: rows(0, (0.2, 0.3), corner(t))),
            "share_location": Becomes(
                {"share_location": False}, lambda t: rows(1, (0.8, 0.7), corner(t)), [LOC_PER_CLASS, CONF, PRIORS]
            ),
            "save_output_param": Nothing("it writes files", [{"output_format": "VOC"}]),
            "visualize": Becomes({"visualize": True}, lambda t: t.run({}, t.x[:3])[0], [LOC, CONF, PRIORS, NO_IMAGE]),
            "visualize_threshold": Nothing("it shows pictures", [0.5]),
            "save_file": Nothing("it writes files", ["x.avi"]),
            "objectness_score": Golden("refinedet_detection_output"),
            "use_polygon": Refused(True),
        },
        {"num_classes": 2, "nms_param": {"nms_threshold": 0.45}, "confidence_threshold": 0.01},
    ),
}
