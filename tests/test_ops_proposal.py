"""Region proposals against numbers worked out by hand, and the runtime's primitive against the reference."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cortado.compiler.errors import CompileError
from cortado.compiler.ops.proposal import FORMS, Proposals, TextBoxes, partition_by_holes, quicksort
from cortado.compiler.ops.proposal import partial_sort as reference_partial_sort
from cortado.compiler.ops.proposal import partition_by_swaps as reference_by_swaps
from cortado.compiler.types import AtMost, type_of
from cortado.driver import compile as compile_file
from cortado.frontends.caffe.layers.anchors import anchor_boxes, round_half_up, rounded_sides, sides_of_scale
from cortado.frontends.files.param_str import parse_param_str
from cortado.runtime.primitives import IMPLEMENTATIONS, CallSite, Operand
from cortado.runtime.primitives.proposal import partial_order
from cortado.runtime.primitives.quick_order import partition_by_holes as by_holes
from cortado.runtime.primitives.quick_order import partition_by_swaps, quick_order

from .small_nets import f32

INFO = torch.tensor([[30.5, 40.7, 1.0, 0.5]])


def run_both(op: Proposals, *operands: Tensor) -> list[Tensor]:
    """The results of the runtime's primitive, proved equal to the reference's."""
    types = op.infer_types([type_of(x) for x in operands])
    given = tuple(Operand(x.dtype, tuple(x.shape)) for x in operands)
    call = CallSite(op.all_attributes(), given, tuple(Operand(torch.float32, t.bounds) for t in types))
    made = list(IMPLEMENTATIONS["proposals"].prepare(call)([], operands) or ())
    expected = op.compute(operands)
    for type, a, b in zip(types, made, expected, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-6, atol=1e-4)
        assert isinstance(type.dims[0], AtMost)
        assert a.shape[0] <= type.dims[0].bound and a.ndim == type.rank
    return made


def propose(form: str, scores: list[float], deltas: Any = None, info: Any = INFO, **attributes: Any) -> list[Tensor]:
    """Proposals of one anchor of 10 x 10 pixels at cells in a row, 4 pixels apart."""
    count = len(scores)
    op = Proposals(anchors=(0, 0, 9, 9), form=form, **{"stride": 4, "min_size": 0.0, "scores": True} | attributes)
    own = torch.tensor([[0.0] * count, scores]).reshape(1, 2, 1, count)
    moves = torch.zeros(1, 4, 1, count) if deltas is None else torch.tensor(deltas).reshape(1, 4, 1, count)
    return run_both(op, own, moves, info)


@pytest.mark.parametrize("form", FORMS)
def test_better_boxes_suppress_others(form: str) -> None:
    """Boxes 0 ... 10, 4 ... 14, 8 ... 18: 7 of 15 columns in common, or 3 of 19."""
    rois, scores = propose(form, [0.5, 0.9, 0.7], threshold=0.45)
    assert rois.tolist() == [[0, 4, 0, 14, 10]]
    assert scores.flatten().tolist() == pytest.approx([0.9])
    rois, _ = propose(form, [0.5, 0.9, 0.7], threshold=0.48)
    assert rois[:, 1].tolist() == [4, 8, 0]
    rois, _ = propose(form, [0.9, 0.5, 0.7], threshold=0.4)
    assert rois[:, 1].tolist() == [0, 8]
    rois, _ = propose(form, [0.9, 0.5, 0.7], threshold=0.4, after=1)
    assert rois[:, 1].tolist() == [0]


@pytest.mark.parametrize("form", FORMS)
def test_deltas_move_and_grow_a_box(form: str) -> None:
    """The centre 5 + 10 / 10 across; 2 x 10 wide: from -4 to 16, cut to 0. From 0 to 10 down."""
    rois, _ = propose(form, [0.5], [0.1, 0, np.log(2), 0])
    torch.testing.assert_close(rois, torch.tensor([[0.0, 0, 0, 16, 10]]))
    rois, _ = propose(form, [0.5], [5.0, 5.0, 0, 0])
    last = (39.0, 29.0) if form == "synopsys" else (39.7, 29.5)  # of an image of 30.5 x 40.7 pixels
    torch.testing.assert_close(rois, torch.tensor([[0, *last, *last]]))


def test_boxes_that_are_too_small() -> None:
    """Each of 11 x 11 pixels, twelve at a scale of 2."""
    twice = torch.tensor([[30.0, 40, 2, 0.1]])
    assert propose("python", [0.5, 0.9], info=twice, min_size=6.0)[0].shape == (0, 5)
    rois, scores = propose("synopsys", [0.5, 0.9], info=twice, min_size=6.0)
    assert rois[:, 1].tolist() == [4]
    assert scores.tolist() == [[pytest.approx(0.9)]]
    for form in ("happynear", "mini"):
        rois, scores = propose(form, [0.5, 0.9], info=twice, min_size=6.0)
        assert rois[:, 1].tolist() == [0, 4]  # equal scores, in the order of their cells
        assert scores.tolist() == [0, 0]


def test_boxes_less_than_a_pixel_apart() -> None:
    """0 ... 10 and 10.5 ... 20.5: half a pixel in common, of 11 x 11 each, if pixels are included."""
    moves = [[0.0, 0.65], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    for form, kept in (("python", 1), ("mini", 1), ("happynear", 2)):
        assert len(propose(form, [0.9, 0.8], moves, threshold=0.01)[0]) == kept


def test_beyond_the_best() -> None:
    """Only synopsys goes on with the others, if fewer than `after` of the best are kept."""
    for form, kept in (("python", [8]), ("happynear", [8]), ("mini", [8]), ("synopsys", [8, 4, 0])):
        rois, _ = propose(form, [0.5, 0.4, 0.9], threshold=0.9, before=1)
        assert rois[:, 1].tolist() == kept


@pytest.mark.parametrize("form", FORMS)
def test_the_primitive_is_the_reference(form: str) -> None:
    """With equal scores, NaN, and boxes beyond the image."""
    dice = np.random.default_rng(FORMS.index(form))
    torch.manual_seed(1)
    for number in range(60):
        count, height, width = (int(dice.integers(1, n)) for n in (4, 7, 7))
        images = int(dice.integers(1, 3)) if form == "happynear" else 1
        low = dice.uniform(-10, 5, (count, 2))
        op = Proposals(
            anchors=tuple(np.hstack([low, low + dice.uniform(5, 20, (count, 2))]).round(1).ravel().tolist()),
            form=form,
            stride=5,
            min_size=float(dice.uniform(0, 12)),
            before=int(dice.integers(1, 30)),
            after=int(dice.integers(1, 10)),
            threshold=0.5,
            scores=number % 3 > 0,
        )
        scores = torch.from_numpy(dice.integers(0, 6, (images, 2 * count, height, width)).astype(np.float32) / 5)
        deltas = torch.randn(images, 4 * count, height, width) * 0.4
        if number % 7 == 0:
            deltas[0, 0, 0, 0] = torch.nan
        if number % 11 == 0:
            scores[0, -1, 0, 0] = torch.nan
        run_both(op, scores, deltas, INFO)


@pytest.mark.parametrize(
    ("mine", "reference"), [(partition_by_swaps, reference_by_swaps), (by_holes, partition_by_holes)]
)
def test_the_order_of_a_quicksort(mine: Any, reference: Any) -> None:
    dice = np.random.default_rng(0)
    for _ in range(500):
        scores = dice.integers(0, dice.integers(1, 20), dice.integers(1, 40)).astype(np.float32)
        most = int(dice.integers(1, 50))
        expected = quicksort(scores.tolist(), most, reference)[:most]
        assert quick_order(scores, most, mine)[:most].tolist() == expected
        assert scores[expected].tolist() == sorted(scores.tolist(), reverse=True)[:most]


def test_partial_sort() -> None:
    """0.9 takes the place of 0.2, the worst of the first two, and leaves it there; 0.1 stays where it is."""
    for order in (
        partial_order(np.array([0.2, 0.5, 0.9, 0.1], np.float32), 2).tolist(),
        reference_partial_sort([0.2, 0.5, 0.9, 0.1], 2),
    ):
        assert order == [2, 1, 0, 3]
    dice = np.random.default_rng(0)
    for _ in range(100):
        scores, most = dice.integers(0, 5, 12).astype(np.float32), int(dice.integers(0, 15))
        assert partial_order(scores, most).tolist() == reference_partial_sort(scores.tolist(), most)


def test_anchors() -> None:
    """py-faster-rcnn's generate_anchors.py ends with these boxes, of its first two ratios."""
    made = anchor_boxes(16, (0.5, 1), (8, 16, 32), rounded_sides(16, round))
    assert np.array(made).reshape(-1, 4).tolist() == [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
    ]
    assert anchor_boxes(16, (0.5,), (8,), sides_of_scale(16)) == (2.5, 5.0, 12.5, 10.0)  # 11.3 by 5.7 pixels
    assert [round_half_up(x) for x in (0.5, 1.4, 2.5)] == [1, 1, 3]


def test_text_boxes() -> None:
    """An anchor of 11 pixels from 2 to 12: 11/2 up, e^0 high; at the second cell twice as high, cut at the top."""
    op = TextBoxes(anchors=(0, 2, 15, 12), stride=16)
    deltas = torch.tensor([[-0.5, 0], [0, np.log(2)]], dtype=torch.float32).reshape(1, 2, 1, 2)
    info = torch.tensor([[30.0, 25.0, 1.0]])
    expected = torch.tensor([[0.0, 0, 15, 7], [16, 0, 24, 18]])
    torch.testing.assert_close(op.reference(deltas, info), expected, rtol=0, atol=1e-5)
    result = torch.empty(2, 4)
    given = tuple(Operand(x.dtype, tuple(x.shape)) for x in (deltas, info))
    call = CallSite(op.all_attributes(), given, (Operand(result.dtype, (2, 4)),))
    IMPLEMENTATIONS["text_boxes"].prepare(call)([result], [deltas, info])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_what_is_refused() -> None:
    maps, info = (f32(1, 2, 3, 3), f32(1, 4, 3, 3)), f32(1, 3)
    for attributes, operands, sentence in (
        ({"form": "caffe"}, (*maps, info), "form is one of python, synopsys, happynear, mini, not caffe"),
        ({"anchors": (1, 2)}, (*maps, info), "anchors are one or more boxes of four numbers, not 2 numbers"),
        ({"after": 0, "form": "mini"}, (*maps, info), "stride, before and after are 1 or more"),
        ({}, (f32(1, 3, 3, 3), maps[1], info), "scores of 1 anchors are [n, 2, h, w], not f32[1,3,3,3]"),
        ({}, (f32(1, 2, 3, 2), maps[1], info), "they are not of the same cells"),
        ({}, (f32(2, 2, 3, 3), f32(2, 4, 3, 3), info), "it takes one image, not 2"),
        ({"form": "happynear"}, (*maps, info), "the image's height, width and scale are three or four numbers"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            Proposals(**{"anchors": (0, 0, 9, 9), "form": "python"} | attributes).infer(*operands)
    for deltas, size, sentence in ((f32(1, 3, 2, 2), info, "[1, 2, h, w]"), (f32(1, 2, 2, 2), f32(1), "two numbers")):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            TextBoxes(anchors=(0, 0, 9, 9)).infer(deltas, size)


NET = """layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 1 dim: 18 dim: 2 dim: 3 } } }
layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 36 dim: 2 dim: 3 } } }
layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 1 dim: INFO } } }
layer { name: "p" type: "TYPE" bottom: "s" bottom: "d" bottom: "i" top: "rois" SETTINGS }
"""
LISTED = "proposal_param { ratio: 0.5 ratio: 1 ratio: 2 scale: 8 scale: 16 scale: 32 }"


def write_net(path: Any, type: str, settings: str, info: int = 3) -> Any:
    path.write_text(NET.replace("TYPE", type).replace("SETTINGS", settings).replace("INFO", str(info)))
    return path


def test_the_image_tells_forks_apart(tmp_path: Any) -> None:
    """Three numbers are mini-caffe's, four caffe-windows'; six may be caffe-windows' or pva-faster-rcnn's."""
    for numbers, form in ((3, "mini"), (4, "happynear")):
        net = compile_file(write_net(tmp_path / "n.prototxt", "Proposal", LISTED, numbers))
        assert [s.payload["form"] for s in net.plan.steps] == [form]
    six = write_net(tmp_path / "n.prototxt", "Proposal", LISTED, 6)
    with pytest.raises(CompileError, match=r"the file fits several: in happynear: .*; in pva: "):
        compile_file(six)
    first = [compile_file(six, dialect=d).plan.steps[0].payload["anchors"][2] for d in ("happynear", "pva")]
    assert first == [12.5, 99.0]


@pytest.mark.parametrize("dialect", ["happynear", "pva", "mini-caffe"])
@pytest.mark.parametrize("numbers", ["ratio: 1 scale: 1e38", "ratio: 1e-44 scale: 1", "ratio: 1e-30 scale: 1e30"])
def test_anchors_without_a_size_are_refused(tmp_path: Any, dialect: str, numbers: str) -> None:
    info = {"happynear": 4, "pva": 6, "mini-caffe": 3}[dialect]
    path = write_net(tmp_path / "n.prototxt", "Proposal", f"proposal_param {{ {numbers} }}", info)
    with pytest.raises(CompileError, match=r"the anchor of ratio .* has a side of more than 16777216 pixels") as e:
        compile_file(path, dialect=dialect)
    assert e.value.loc is not None


def python_param(text: str, module: str = "rpn.proposal_layer") -> str:
    return f'python_param {{ module: "{module}" layer: "ProposalLayer" param_str: "{text}" }}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "its param_str has no feat_stride"),
        ("'feat_stride': [", "its param_str is not YAML: "),
        ("- 1", "its param_str is not a mapping of names to values"),
        ("!!python/object/apply:os.system ['true']", "its param_str is not YAML: could not determine a constructor"),
        ("'feat_stride': 0", "feat_stride in its param_str is not a whole number from 1"),
        ("'feat_stride': true", "feat_stride in its param_str is not a whole number from 1"),
        ("{'feat_stride': 16, 'scales': 8}", "scales in its param_str is not a list of numbers above 0"),
        ("{'feat_stride': 16, 'scales': [8, .nan]}", "scales in its param_str is not a list of numbers above 0"),
        ("{'feat_stride': 16, 'soft': 1}", "cortado does not compute soft of rpn.proposal_layer.ProposalLayer"),
        ("{'feat_stride': 16, 'scales': [8]}", "scores of 3 anchors are"),
        ("[" * 5000, "its param_str is not YAML: "),
    ],
)
def test_param_str_is_data(tmp_path: Any, text: str, sentence: str) -> None:
    path = write_net(tmp_path / "n.prototxt", "Python", python_param(text))
    with pytest.raises(CompileError, match=re.escape(sentence)) as e:
        compile_file(path)
    assert e.value.loc is not None


def test_settings_in_param_str() -> None:
    assert parse_param_str("") == {}
    assert parse_param_str("'a': !!python/tuple [1, 2]\n'b': 2") == {"a": [1, 2], "b": 2}


def test_python_layers(tmp_path: Any) -> None:
    """MNC's layer has no scales; ENet's dropout scales in its phase TEST."""
    plain = compile_file(write_net(tmp_path / "n.prototxt", "Python", python_param("'feat_stride': 16")))
    mnc = python_param("{'feat_stride': 16, 'use_clip': 1}", "pylayer.proposal_layer")
    assert compile_file(write_net(tmp_path / "n.prototxt", "Python", mnc)).plan.steps == plain.plan.steps
    path = tmp_path / "m.prototxt"
    path.write_text((tmp_path / "n.prototxt").read_text().replace('bottom: "i"', ""))
    with pytest.raises(CompileError, match="takes 3 bottoms, and it has 2"):
        compile_file(path)
    dropout = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
    layer { name: "d" type: "Python" bottom: "x" top: "y"
            python_param { module: "spatial_dropout" layer: "SpatialDropoutLayer" param_str: "SETTINGS" } }"""
    path.write_text(dropout.replace("SETTINGS", "{'phase': 'TEST', 'p': '0.2'}"))
    made = compile_file(path)(x=np.array([4.0, -8.0], np.float32))["y"]
    np.testing.assert_allclose(made, [5, -10], rtol=1e-6)
    for settings, sentence in (
        ("{'phase': 'TRAIN', 'p': 0.2}", "at random"),
        ("{'phase': 'TEST', 'p': 1}", "p in its"),
    ):
        path.write_text(dropout.replace("SETTINGS", settings))
        with pytest.raises(CompileError, match=sentence):
            compile_file(path)


def test_what_follows_takes_any_number_of_regions(tmp_path: Any) -> None:
    """The head of R-FCN, whose last Reshape is -1 by classes: as many rows as there are regions."""
    path = write_net(tmp_path / "n.prototxt", "Python", python_param("'feat_stride': 16"))
    with path.open("a") as file:
        file.write(
            """layer { name: "f" type: "Input" top: "f" input_param { shape { dim: 1 dim: 12 dim: 2 dim: 3 } } }
            layer { name: "ps" type: "PSROIPooling" bottom: "f" bottom: "rois" top: "ps"
                    psroi_pooling_param { spatial_scale: 0.0625 output_dim: 3 group_size: 2 } }
            layer { name: "vote" type: "Pooling" bottom: "ps" top: "vote" pooling_param { pool: AVE kernel_size: 2 } }
            layer { name: "prob" type: "Softmax" bottom: "vote" top: "prob" }
            layer { name: "flat" type: "Reshape" bottom: "prob" top: "flat"
                    reshape_param { shape { dim: -1 dim: 3 } } }
            layer { name: "pairs" type: "Reshape" bottom: "ps" top: "pairs"
                    reshape_param { shape { dim: -1 dim: 6 } } }"""
        )
    net, dice = compile_file(path, outputs=["rois", "ps", "prob", "flat", "pairs"]), np.random.default_rng(0)
    assert net.outputs["flat"].dims == ("?54", 3)
    for scale in (0.1, 1.0):
        sizes = {"s": (1, 18, 2, 3), "d": (1, 36, 2, 3), "f": (1, 12, 2, 3)}
        given = {name: (scale * dice.standard_normal(size)).astype(np.float32) for name, size in sizes.items()}
        made = net(given | {"i": np.array([[400, 600, 1]], np.float32)})
        rows = len(made["rois"])
        assert 1 < rows < 54
        np.testing.assert_array_equal(made["flat"], made["prob"].reshape(rows, 3))
        np.testing.assert_array_equal(made["pairs"], made["ps"].reshape(-1, 6))


def test_ctpn(tmp_path: Any) -> None:
    """Twenty channels at two cells: boxes of the anchors as they are, cut to the image, and the text's scores."""
    path = tmp_path / "n.prototxt"
    path.write_text(
        """layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 1 dim: 20 dim: 1 dim: 2 } } }
        layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 20 dim: 1 dim: 2 } } }
        layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 1 dim: 3 } } }
        layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "i" top: "boxes" top: "scores"
                python_param { module: "layers.text_proposal_layer" layer: "ProposalLayer"
                               param_str: "'feat_stride': 16" } }
        """
    )
    scores = np.arange(40, dtype=np.float32).reshape(1, 20, 1, 2)
    info = np.array([[30, 40, 1]], np.float32)
    made = compile_file(path)(s=scores, d=np.zeros((1, 20, 1, 2), np.float32), i=info)
    assert made["boxes"].shape == (20, 4)
    # 11 pixels from 2 to 13, whose middle is 7.5: twelve, from 1.5 to 13.5. Then 16 from 0 to 15, and 23 from -4 to 19.
    np.testing.assert_allclose(made["boxes"][:3], [[0, 1.5, 15, 13.5], [0, 0, 15, 15.5], [0, 0, 15, 19.5]])
    np.testing.assert_allclose(made["boxes"][10], [16, 1.5, 31, 13.5])
    np.testing.assert_array_equal(made["scores"].ravel(), [*range(20, 40, 2), *range(21, 40, 2)])
