"""The runtime's primitives: pure functions on tensors. Their schemas are in primitive_table.py."""

from __future__ import annotations

from collections.abc import Mapping

from .box_output import BOX_OUTPUT
from .convolution import CONV_PACKED
from .custom import LayerFunction as LayerFunction
from .custom import make_user_primitive as make_user_primitive
from .deconvolution import DECONV_PACKED
from .detection import DETECTION_OUTPUT
from .distance import DISTANCE
from .expression import EXPR
from .flow import CORRELATION, FLOW_WARP, RESAMPLE
from .indexing import CROP, FILTER, FLIP, GATHER, IM2COL, REORG, TILE, TRANSPOSE
from .linear import LINEAR_PACKED
from .movement import CONCAT, COPY, PAD, RESHAPE, SLICE
from .normalization import L2_NORMALIZE, LRN, SOFTMAX
from .pooling import AVG_POOL, MAX_POOL, STOCHASTIC_POOL
from .primitive import CallSite as CallSite
from .primitive import Operand as Operand
from .primitive import PackedWeights as PackedWeights
from .primitive import Primitive as Primitive
from .primitive import Run as Run
from .proposal import PROPOSALS
from .pyramid import PYRAMID_POOL
from .recurrent import LSTM, LSTM_UNIT, RNN
from .reduction import ARGMAX, REDUCE, STANDARDIZE
from .resize import RESIZE
from .resizing import INTERP, UNPOOL, UPSAMPLE
from .roi import ROI_ALIGN
from .roi_bins import PSROI_POOL, ROI_GRID, ROI_POOL
from .scores import ACCURACY, CROSS_ENTROPY, HINGE, TOTAL_LOSS
from .text_boxes import TEXT_BOXES
from .yolo import YOLO_DETECTIONS

IMPLEMENTATIONS: Mapping[str, Primitive] = {
    "conv_packed": CONV_PACKED,
    "linear_packed": LINEAR_PACKED,
    "max_pool": MAX_POOL,
    "avg_pool": AVG_POOL,
    "expr": EXPR,
    "lrn": LRN,
    "interp": INTERP,
    "correlation": CORRELATION,
    "flow_warp": FLOW_WARP,
    "resample": RESAMPLE,
    "resize": RESIZE,
    "upsample": UPSAMPLE,
    "unpool": UNPOOL,
    "roi_align": ROI_ALIGN,
    "roi_pool": ROI_POOL,
    "psroi_pool": PSROI_POOL,
    "roi_grid": ROI_GRID,
    "distance": DISTANCE,
    "softmax": SOFTMAX,
    "concat": CONCAT,
    "slice": SLICE,
    "reshape": RESHAPE,
    "relayout": COPY,
    "copy": COPY,
    "deconv_packed": DECONV_PACKED,
    "stochastic_pool": STOCHASTIC_POOL,
    "pyramid_pool": PYRAMID_POOL,
    "l2_normalize": L2_NORMALIZE,
    "transpose": TRANSPOSE,
    "flip": FLIP,
    "reorg": REORG,
    "pad": PAD,
    "crop": CROP,
    "tile": TILE,
    "im2col": IM2COL,
    "gather": GATHER,
    "filter": FILTER,
    "lstm": LSTM,
    "lstm_unit": LSTM_UNIT,
    "rnn": RNN,
    "detection_output": DETECTION_OUTPUT,
    "proposals": PROPOSALS,
    "yolo_detections": YOLO_DETECTIONS,
    "box_output": BOX_OUTPUT,
    "text_boxes": TEXT_BOXES,
    "reduce": REDUCE,
    "argmax": ARGMAX,
    "standardize": STANDARDIZE,
    "cross_entropy": CROSS_ENTROPY,
    "hinge": HINGE,
    "total_loss": TOTAL_LOSS,
    "accuracy": ACCURACY,
}
"""By name, all primitives but `user`, which is made from the caller's functions (custom.py)."""
