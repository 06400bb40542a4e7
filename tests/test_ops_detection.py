"""Detections against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortado import driver
from cortado.compiler.build import build
from cortado.compiler.errors import CompileError
from cortado.compiler.ir import Graph, Node, Value
from cortado.compiler.ops.detection import DetectionOutput
from cortado.compiler.types import AtMost, TensorType
from cortado.passes import PIPELINE, Context, run
from cortado.runtime import Net
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand

BOXES = np.array([[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.2], [0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 1.0, 0.9]], np.float32)
"""Two pairs: the first overlap by one half, the second by four fifths."""


def detect(
    scores: Any, boxes: np.ndarray = BOXES, loc: Any = None, variance: float = 1.0, **attributes: Any
) -> np.ndarray:
    """Rows of the runtime's detection_output, proved equal to the reference's. Scores are [n, p, classes]."""
    conf = np.array(scores, np.float32)
    images, _, classes = conf.shape
    prior = np.stack([boxes, np.full_like(boxes, variance)]).reshape(1, 2, -1)
    loc = np.zeros((images, boxes.size), np.float32) if loc is None else np.array(loc, np.float32).reshape(images, -1)
    op = DetectionOutput(classes=classes, **attributes)
    given = [torch.tensor(loc), torch.tensor(conf.reshape(images, -1)), torch.tensor(prior)]
    expected = op.reference(*given).numpy()
    type = op.infer(*(TensorType("f32", tuple(t.shape)) for t in given))
    assert isinstance(type.dims[2], AtMost)
    assert expected.shape[2] <= type.dims[2].bound

    inputs = tuple(Value(n, TensorType("f32", tuple(t.shape))) for n, t in zip(("l", "c", "p"), given, strict=True))
    out = Value("out", type)
    final = run(Graph("n", inputs, (Node(op, inputs, (out,)),), (("out", out),)), Context(), PIPELINE)
    net = Net.from_artifact(build(final, final.graph, "onednn"))
    made: np.ndarray = net({v.name: t.numpy() for v, t in zip(inputs, given, strict=True)})["out"]
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)
    rows: np.ndarray = made[0, 0]
    return rows


def one_image_scores(*scores: float) -> list[list[list[float]]]:
    """One image, two classes of which 0 is the background."""
    return [[[1 - s, s] for s in scores]]


def test_overlapping_boxes_fall_to_the_better() -> None:
    rows = detect(one_image_scores(0.6, 0.9, 0.8, 0.7), nms_threshold=0.45)
    np.testing.assert_allclose(rows, [[0, 1, 0.9, *BOXES[1]], [0, 1, 0.8, *BOXES[2]]], rtol=1e-6)
    assert detect(one_image_scores(0.6, 0.9, 0.8, 0.7), nms_threshold=0.55)[:, 2] == pytest.approx([0.9, 0.8, 0.6])
    assert detect(one_image_scores(0.6, 0.9, 0.8, 0.7), nms_threshold=0.45, confidence=0.85)[:, 2] == pytest.approx(
        [0.9]
    )


def test_equal_scores_keep_the_order_of_the_priors() -> None:
    rows = detect(one_image_scores(0.5, 0.5, 0.5, 0.5), nms_threshold=0.9)
    np.testing.assert_array_equal(rows[:, 3:], BOXES)
    rows = detect(one_image_scores(0.5, 0.5, 0.5, 0.5), nms_threshold=0.9, keep_top_k=3)
    np.testing.assert_array_equal(rows[:, 3:], BOXES[:3])


def test_a_score_at_the_threshold_is_not_above_it() -> None:
    assert len(detect(one_image_scores(0.5, 0.25, 0.75, 0.1), confidence=0.5)) == 1


def test_top_k_counts_before_suppression_and_keep_top_k_after() -> None:
    scores = one_image_scores(0.6, 0.9, 0.8, 0.7)
    assert detect(scores, nms_threshold=0.45, top_k=1)[:, 2] == pytest.approx([0.9])
    assert detect(scores, nms_threshold=0.45, top_k=3)[:, 2] == pytest.approx([0.9, 0.8])
    assert detect(scores, nms_threshold=1, keep_top_k=2)[:, 2] == pytest.approx([0.9, 0.8])


def test_what_is_kept_of_an_image_is_grouped_by_class() -> None:
    scores = [[[0, 0.3, 0.9], [0, 0.2, 0.1], [0, 0.8, 0.7], [0, 0.1, 0.1]]]
    rows = detect(scores, nms_threshold=1, keep_top_k=3)
    assert rows[:, 1].tolist() == [1, 2, 2]
    assert rows[:, 2] == pytest.approx([0.8, 0.9, 0.7])
    assert detect(scores, nms_threshold=1, background=2)[:, 1].tolist() == [0] * 4 + [1] * 4


def test_eta_lowers_the_threshold_as_boxes_are_kept() -> None:
    """Squares that overlap their neighbour by a third; the threshold falls from 0.6 to 0.3 after one kept."""
    boxes = np.array([[0, 0, 1, 1], [0.5, 0, 1.5, 1]], np.float32)
    assert len(detect(one_image_scores(0.9, 0.8), boxes, nms_threshold=0.6)) == 2
    assert len(detect(one_image_scores(0.9, 0.8), boxes, nms_threshold=0.6, eta=0.5)) == 1
    assert len(detect(one_image_scores(0.9, 0.8), boxes, nms_threshold=0.5, eta=0.5)) == 2  # not above 0.5: it stays


def test_nothing_found_is_a_row_for_each_image() -> None:
    rows = detect([[[0.5, 0.5]] * 4] * 3, confidence=0.9)
    np.testing.assert_array_equal(rows, [[i] + [-1] * 6 for i in range(3)])
    rows = detect([[[0.5, 0.5]] * 4, [[0.5, 0.95]] * 4], confidence=0.9, nms_threshold=0.3)
    assert rows[:, 0].tolist() == [1, 1]  # one image with boxes is enough: the other has no row
    assert detect(one_image_scores(0.9, 0.9, 0.9, 0.9), keep_top_k=0).tolist() == [[0] + [-1] * 6]


def test_nan_scores_and_boxes() -> None:
    """No comparison holds for NaN: such a score is never taken, and the overlap with such a box is never small enough.

    Caffe's std::max(box, kept) is the box's where kept is NaN: what they share is the box, and their union NaN. Where
    it is the later box that is NaN, what they share is NaN, too, is not above 0, and counts as no overlap.
    """
    boxes = np.where(np.arange(4)[:, None] == 1, np.nan, BOXES).astype(np.float32)
    rows = detect(one_image_scores(math.nan, 0.9, 0.8, 0.7), boxes, nms_threshold=0.3, confidence=0.1)
    assert rows[:, 2] == pytest.approx([0.9])
    rows = detect(one_image_scores(math.nan, 0.8, 0.9, 0.7), boxes, nms_threshold=0.3, confidence=0.1)
    assert rows[:, 2] == pytest.approx([0.9, 0.8])


def test_boxes_without_end() -> None:
    """e¹⁰⁰⁰ is infinite, and so is the box; what it overlaps, infinity by infinity, is no number: the other falls."""
    loc = np.array([[0, 0, 1000, 1000], [0, 0, 1000, 1000], [0, 0, 0, 0], [0, 0, 0, 0]])
    rows = detect(one_image_scores(0.9, 0.8, 0.7, 0.1), BOXES, loc, code="center_size", confidence=0.2)
    assert rows[:, 2] == pytest.approx([0.9, 0.7])
    np.testing.assert_array_equal(rows[0, 3:], [-np.inf, -np.inf, np.inf, np.inf])


def test_boxes_inside_out_have_no_area() -> None:
    boxes = np.array([[0.6, 0.6, 0.2, 0.2], [0.0, 0.0, 1.0, 1.0]], np.float32)
    assert len(detect(one_image_scores(0.9, 0.8), boxes, nms_threshold=0.0)) == 2


PRIOR = np.array([[0.2, 0.4, 0.6, 0.6]], np.float32)  # 0.4 × 0.2 around (0.4, 0.5)


@pytest.mark.parametrize(
    ("code", "box"),
    [
        ("corner", [0.2 + 0.05, 0.4 - 0.1, 0.6 + 0.15, 0.6 + 0.2]),
        ("corner_size", [0.2 + 0.05 * 0.4, 0.4 - 0.1 * 0.2, 0.6 + 0.15 * 0.4, 0.6 + 0.2 * 0.2]),
        (
            "center_size",
            [
                0.42 - 0.2 * math.exp(0.15),
                0.48 - 0.1 * math.exp(0.2),
                0.42 + 0.2 * math.exp(0.15),
                0.48 + 0.1 * math.exp(0.2),
            ],
        ),
    ],
)
def test_codes(code: str, box: list[float]) -> None:
    loc = np.array([0.5, -1, 1.5, 2])
    row = detect(one_image_scores(0.9), PRIOR, loc, variance=0.1, code=code)
    np.testing.assert_allclose(row[0, 3:], box, rtol=1e-5)
    same = detect(one_image_scores(0.9), PRIOR, loc / 10, variance=0.1, code=code, variance_in_target=True)
    np.testing.assert_allclose(same, row, rtol=1e-5)


def test_locations_of_each_class() -> None:
    """[p, classes, 4]: class 1 is moved by 0.1, class 2 by 0.2."""
    loc = np.stack([np.full((4, 4), c / 10, np.float32) for c in range(3)], 1)
    rows = detect([[[0, 0.9, 0.8]] * 4], loc=loc, nms_threshold=0.3, share_location=False)
    expected = [BOXES[0] + 0.1, BOXES[2] + 0.1, BOXES[0] + 0.2, BOXES[2] + 0.2]
    np.testing.assert_allclose(rows[:, 3:], expected, rtol=1e-6)
    assert rows[:, 1].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("seed", range(4))
def test_many_random_boxes(seed: int) -> None:
    """The runtime's way of suppressing, which looks forward, against the reference's, which looks back."""
    random = np.random.RandomState(seed)
    corner, size = random.rand(300, 2), random.rand(300, 2) * 0.3
    boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
    scores = np.round(random.rand(2, 300, 3), 2)  # many are equal
    loc = random.standard_normal((2, 300, 4))
    rows = detect(
        scores, boxes, loc, variance=0.1, code="center_size", nms_threshold=0.6, eta=0.95, top_k=200, keep_top_k=50
    )
    assert len(rows) == 100


def test_detection_settings_that_cannot_be() -> None:
    loc, conf, prior = (TensorType("f32", d) for d in ((2, 16), (2, 8), (1, 2, 16)))
    assert DetectionOutput(classes=2).infer(loc, conf, prior).dims == (1, 1, AtMost(8), 7)
    assert DetectionOutput(classes=2, keep_top_k=3).infer(loc, conf, prior).dims == (1, 1, AtMost(6), 7)
    assert DetectionOutput(classes=2, top_k=0).infer(loc, conf, prior).dims == (1, 1, AtMost(2), 7)
    for attributes, sentence in (
        ({"classes": 3}, "3 scores of 4 priors are"),
        ({"classes": 2, "share_location": False}, "locations of 4 priors are"),
        ({"classes": 2, "eta": 0}, "eta"),
        ({"classes": 2, "nms_threshold": -0.1}, "nms_threshold"),
        ({"classes": 2, "code": "middle"}, "code is one of"),
    ):
        with pytest.raises(ValueError, match=sentence):
            DetectionOutput(**attributes).infer(loc, conf, prior)


PROTO = """name: "ssd"
layer { name: "f" type: "Input" top: "f" input_param { shape { dim: 1 dim: 4 dim: 2 dim: 2 } } }
layer { name: "p" type: "PriorBox" bottom: "f" bottom: "f" top: "p" prior_box_param { min_size: 1 } }
layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 1 dim: 16 } } }
layer { name: "c" type: "Input" top: "c" input_param { shape { dim: 1 dim: 8 } } }
layer { name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" top: "d"
  detection_output_param { num_classes: 2 } }
"""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("min_size: 1", ""), "it has no min_size"),
        (("min_size: 1", "min_size: 1 img_h: 4"), "img_h and img_w go together"),
        (("min_size: 1", "min_size: 1 step: 2 step_w: 4"), "step and step_h/step_w are both given"),
        (("min_size: 1", "min_size: 1 img_size: 0"), "above 0"),
        (("min_size: 1", "min_size: 1 offset_h: 1"), "offset_h and offset_w go together"),
        (("num_classes: 2", ""), "it has no num_classes"),
        (("num_classes: 2", "num_classes: 2 use_polygon: true"), "use_polygon"),
        (("num_classes: 2", "num_classes: 2 nms_param { soft_nms: true theta: 0.5 }"), "soft_nms"),
        (("num_classes: 2", "num_classes: 3"), "3 scores of 4 priors"),
        (("num_classes: 2", "num_classes: 2 nms_param { eta: 2 }"), "eta"),
    ],
)
def test_wrong_layers_are_refused(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    assert change[0] in PROTO
    path = tmp_path / "case.prototxt"
    path.write_text(PROTO.replace(*change))
    with pytest.raises(CompileError, match=sentence) as e:
        driver.compile(path)
    assert e.value.loc is not None


def test_the_layers_compile(tmp_path: Path) -> None:
    path = tmp_path / "case.prototxt"
    path.write_text(PROTO)
    net = driver.compile(path, shapes={"l": ("?3", 16), "c": ("?3", 8)})
    scores = np.tile(np.array([0.1, 0.9], np.float32), (2, 4))
    rows = net(f=np.zeros((1, 4, 2, 2), np.float32), l=np.zeros((2, 16), np.float32), c=scores)["d"]
    assert rows.shape == (1, 1, 8, 7)
    np.testing.assert_allclose(rows[0, 0, 0], [0, 1, 0.9, 0, 0, 0.5, 0.5])


def test_refinedet_hides_priors_that_are_background() -> None:
    """Where the second objectness score is below the least, class 0 has all: here of the first two boxes."""
    conf = torch.tensor([[0.1, 0.9] * 4])
    prior = torch.tensor(np.stack([BOXES, np.full_like(BOXES, 1)]).reshape(1, 2, -1))
    arm = torch.tensor([[0.5, 0.29, 0.5, 0.29, 0.5, 0.3, 0.5, 0.31]])
    shapes = [TensorType("f32", tuple(t.shape)) for t in (torch.zeros(1, 16), conf, prior, arm)]
    op = DetectionOutput(classes=2, objectness=0.3, nms_threshold=1.0, confidence=0.0)
    for background, rows in ((0, [0.9, 0.9]), (1, [1.0, 1.0, 0.1, 0.1])):
        own = replace(op, background=background)
        own.infer(*shapes)
        for made in detect_both(own, torch.zeros(1, 16), conf, prior, arm):
            np.testing.assert_allclose(made[0, 0, :, 2], rows)


def test_refinedet_moves_priors_first() -> None:
    """Twice by 0.1 times the variance 0.5; the code is the same."""
    prior = torch.tensor(np.stack([BOXES[:1], np.full_like(BOXES[:1], 0.5)]).reshape(1, 2, -1))
    first, conf, arm = torch.tensor([[0.1, 0.1, 0.2, 0.2]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    for made in detect_both(DetectionOutput(classes=2), first, conf, prior, arm, first):
        np.testing.assert_allclose(made[0, 0, 0], [0, 1, 1, 0.1, 0.1, 0.6, 0.6], rtol=1e-6)


def detect_both(op: DetectionOutput, *operands: torch.Tensor) -> Iterator[np.ndarray]:
    """What the reference gives, and the runtime's primitive."""
    yield op.reference(*operands).numpy()
    given = tuple(Operand(t.dtype, tuple(t.shape)) for t in operands)
    call = CallSite(op.all_attributes(), given, (Operand(torch.float32, (1, 1, 9, 7)),))
    (made,) = IMPLEMENTATIONS["detection_output"].prepare(call)([], operands) or ()
    yield made.numpy()


def test_refinedet_is_checked() -> None:
    f = [TensorType("f32", shape) for shape in ((1, 16), (1, 8), (1, 2, 16), (1, 7), (1, 8), (2, 8), (1, 16))]
    op = DetectionOutput(classes=2)
    with pytest.raises(ValueError, match="objectness scores of 4 priors are"):
        op.infer_types([*f[:3], f[3]])
    with pytest.raises(ValueError, match="their first dimensions differ"):
        op.infer_types([*f[:3], f[5]])
    with pytest.raises(ValueError, match="first locations of the priors are shared"):
        replace(op, share_location=False).infer_types([TensorType("f32", (1, 32)), *f[1:3], f[4], f[6]])


def test_offsets_of_prior_boxes_open_cv_has_too(tmp_path: Path) -> None:
    """OpenCV repeats each box at each offset as well: a fork of TextBoxes whose files it has in its own tests."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "prior.prototxt"
    path.write_text(
        """input: "f" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 }
        input: "x" input_shape { dim: 1 dim: 3 dim: 60 dim: 80 }
        layer { name: "p" type: "PriorBox" bottom: "f" bottom: "x" top: "p"
                prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 5 flip: false clip: true
                    variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2
                    offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.25 } }"""
    )
    theirs = cv2.dnn.readNetFromCaffe(str(path))
    theirs.setInput(np.zeros((1, 2, 3, 4), np.float32), "f")
    theirs.setInput(np.zeros((1, 3, 60, 80), np.float32), "x")
    mine = driver.compile(path)(f=np.zeros((1, 2, 3, 4), np.float32), x=np.zeros((1, 3, 60, 80), np.float32))
    np.testing.assert_allclose(mine["p"], theirs.forward("p"), rtol=0, atol=1e-6)
