"""Proposal, of which forks of Caffe have four, and the Python layers of which it is a copy."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, prod

from ....compiler.ir import Value
from ....compiler.ops.indexing import Transpose
from ....compiler.ops.proposal import Proposals, TextBoxes
from ....compiler.ops.shape import Reshape, Slice
from ..layer import Layer, layer, shortest_decimal
from .anchors import Sides, anchor_boxes, round_half_up, rounded_sides, sides_of_scale
from .python import PythonSettings, python_layer

COUNTED_FIELDS = (
    "feat_stride", "anchor_base_size", "anchor_scale", "anchor_ratio", "max_rois", "pre_nms_topn", "rpn_min_size",
    "rpn_nms_thresh",
)  # fmt: skip
LISTED_FIELDS = (
    "feat_stride", "base_size", "min_size", "ratio", "scale", "pre_nms_topn", "post_nms_topn", "nms_thresh",
)  # fmt: skip
SCALES, RATIOS = (8.0, 16.0, 32.0), (0.5, 1.0, 2.0)
TEXT_HEIGHTS, TEXT_WIDTH, TEXT_BASE = (11, 16, 23, 33, 48, 68, 97, 139, 198, 283), 16, 16  # CTPN's src/anchor.py


@layer("Proposal", "proposal_param", bottoms=3, tops=(1, 2), dialect="synopsys", fields=COUNTED_FIELDS)
def proposal_synopsys(l: Layer, scores: Value, deltas: Value, info: Value) -> tuple[Value, ...]:
    """Propose regions, with three or one anchor_scale and anchor_ratio (synopsys-caffe's proposal_layer.cpp)."""
    p = l.param
    base = positive(l, "anchor_base_size")
    scales = SCALES if p["anchor_scale"] == 3 else SCALES[2:]
    ratios = RATIOS if p["anchor_ratio"] == 3 else RATIOS[1:2]
    op = Proposals(
        anchors=anchor_boxes(base, ratios, scales, rounded_sides(base, round_half_up)),
        form="synopsys",
        stride=positive(l, "feat_stride"),
        min_size=l.number("rpn_min_size"),
        before=positive(l, "pre_nms_topn"),
        after=positive(l, "max_rois"),
        threshold=l.number("rpn_nms_thresh"),
        scores=len(l.tops) > 1,
    )
    return l.emit_all(op, scores, deltas, info)


@layer("Proposal", "proposal_param", bottoms=3, tops=(1, 2), dialect="happynear", fields=LISTED_FIELDS)
def proposal_happynear(l: Layer, scores: Value, deltas: Value, info: Value) -> tuple[Value, ...]:
    """Propose regions, with anchors of scale² pixels (caffe-windows' proposal_layer.cpp)."""
    if numbers(l, info) < 4:
        raise l.mismatch("it reads four numbers of the image: height, width, and the scale of each")
    return listed_proposal(l, (scores, deltas, info), "happynear", sides_of_scale)


@layer("Proposal", "proposal_param", bottoms=3, tops=(1, 2), dialect="pva", fields=LISTED_FIELDS)
def proposal_pva(l: Layer, scores: Value, deltas: Value, info: Value) -> tuple[Value, ...]:
    """Propose regions, with anchors of (base_size scale)² pixels (pva-faster-rcnn's proposal_layer.cpp)."""
    if numbers(l, info) != 6:
        raise l.mismatch("its detectors give six numbers of the image: height, width, and four scales")
    return listed_proposal(l, (scores, deltas, info), "happynear", lambda base: rounded_sides(base, round_half_up))


@layer("Proposal", "proposal_param", bottoms=3, tops=(1, 2), dialect="mini-caffe", fields=LISTED_FIELDS)
def proposal_mini(l: Layer, scores: Value, deltas: Value, info: Value) -> tuple[Value, ...]:
    """Propose regions of one image, with anchors of (base_size scale)² pixels (mini-caffe's proposal_layer.cpp)."""
    if numbers(l, info) != 3:
        raise l.mismatch("it reads three numbers of the image: height, width and scale")
    return listed_proposal(l, (scores, deltas, info), "mini", lambda base: rounded_sides(base, round_half_up))


def listed_proposal(
    l: Layer, bottoms: tuple[Value, Value, Value], form: str, sides: Callable[[int], Sides]
) -> tuple[Value, ...]:
    """A layer whose settings list the ratios and scales."""
    lists = {name: tuple(map(shortest_decimal, l.param[name])) for name in ("ratio", "scale")}
    for name, several in lists.items():
        if not several:
            raise l.mismatch(f"it has no {name}")
        if not all(isfinite(x) and x > 0 for x in several):
            raise l.fault(f"{name} is above 0", name)
    base = positive(l, "base_size")
    op = Proposals(
        anchors=anchor_boxes(base, lists["ratio"], lists["scale"], sides(base)),
        form=form,
        stride=positive(l, "feat_stride"),
        min_size=float(l.param["min_size"]),
        before=positive(l, "pre_nms_topn"),
        after=positive(l, "post_nms_topn"),
        threshold=l.number("nms_thresh"),
        scores=len(l.tops) > 1,
    )
    return l.emit_all(op, *bottoms)


def positive(l: Layer, field: str) -> int:
    """A setting that is 1 or more, and small enough that squares of it are exact. CompileError for another one."""
    value: int = l.param[field]
    if not 1 <= value <= 1 << 24:
        raise l.fault(f"{field} is from 1 to {1 << 24}", field)
    return value


def numbers(l: Layer, info: Value) -> int:
    """How many numbers there are of the image."""
    return prod(l.known(info))


@python_layer("rpn.proposal_layer", "ProposalLayer", bottoms=3, tops=(1, 2))
def proposal_python(l: Layer, settings: PythonSettings, scores: Value, deltas: Value, info: Value) -> tuple[Value, ...]:
    """Propose regions (py-faster-rcnn; `ratios` and `base_size` are read in py-RFCN-priv's and pva-faster-rcnn's)."""
    base = settings.whole("base_size", 16)
    op = python_proposals(l, settings, base, settings.numbers("scales", SCALES), settings.numbers("ratios", RATIOS))
    return l.emit_all(op, scores, deltas, info)


@python_layer("pylayer.proposal_layer", "ProposalLayer", bottoms=3)
def proposal_mnc(l: Layer, settings: PythonSettings, scores: Value, deltas: Value, info: Value) -> tuple[Value, ...]:
    """Propose regions, with the default anchors (MNC's lib/pylayer/proposal_layer.py)."""
    settings.ignore("use_clip", "clip_base", "gradient_scale")  # of gradients
    return l.emit_all(python_proposals(l, settings, 16, SCALES, RATIOS), scores, deltas, info)


def python_proposals(
    l: Layer, settings: PythonSettings, base: int, scales: tuple[float, ...], ratios: tuple[float, ...]
) -> Proposals:
    """The operator with the defaults of cfg.TEST, which are not in the file (fast_rcnn/config.py: RPN_...)."""
    return Proposals(
        anchors=anchor_boxes(base, ratios, scales, rounded_sides(base, round)),
        form="python",
        stride=settings.whole("feat_stride"),
        scores=len(l.tops) > 1,
    )


@python_layer("layers.text_proposal_layer", "ProposalLayer", bottoms=3, tops=2)
def text_proposal(l: Layer, settings: PythonSettings, scores: Value, deltas: Value, info: Value) -> tuple[Value, Value]:
    """A box and a score for each anchor and cell (CTPN's src/layers/text_proposal_layer.py, run by Python 3)."""
    count = len(TEXT_HEIGHTS)
    op = TextBoxes(anchors=text_anchors(), stride=settings.whole("feat_stride"))
    boxes = l.emit(op, deltas, info)
    if scores.type.rank != 4 or scores.type.dims[:2] != (1, 2 * count):
        raise l.fault(f"the scores of {count} anchors are [1, {2 * count}, h, w], not {scores.type}")
    *_, text = l.emit_all(Slice(axis=1, points=(count,)), scores)
    by_cell = l.emit(Transpose(order=(0, 2, 3, 1)), text)
    return boxes, l.emit(Reshape(shape=(-1, 1)), by_cell)


def text_anchors() -> tuple[float, ...]:
    """CTPN's ten anchors, with corners truncated to integers. Python 2 would halve odd heights to integers first."""
    middle, wide, made = (TEXT_BASE - 1) / 2, TEXT_WIDTH / 2, list[float]()
    for height in TEXT_HEIGHTS:
        made += map(float, map(int, (middle - wide, middle - height / 2, middle + wide, middle + height / 2)))
    return tuple(made)
