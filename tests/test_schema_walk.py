"""No setting and no value of an enum is dropped in silence: a row for each, in tests/walk, and each row holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cortado.compiler.errors import CompileError
from cortado.compiler.ops.user import REGISTERED_LAYERS
from cortado.frontends.caffe.layer import LAYERS

from .walk import detectors, dialects, elements, flow, images, losses, videos
from .walk.harness import Becomes, Nothing, Refused, Row, Trial, Walk

ALIKE = elements.WALKS | images.WALKS | losses.WALKS | videos.WALKS | flow.WALKS | detectors.WALKS  # in all forks
WALKS: dict[str, list[Walk]] = {**{type: [walk] for type, walk in ALIKE.items()}, **dialects.WALKS}
for type, walk in losses.LOSS_PARAM.items():
    WALKS[type].append(walk)
ENGINES = ("DEFAULT", "CAFFE", "CUDNN", "MKL2017", "MKLDNN")
COMMON: dict[str, Row] = {"engine": Nothing("it names a library that computes the same", ENGINES)}
TYPES = sorted(set(LAYERS) - set(REGISTERED_LAYERS))


def walks() -> Iterator[tuple[str, str, Trial, Row]]:
    for type, several in WALKS.items():
        for trial in (Trial(type, walk) for walk in several):
            for key, row in rows_of(trial).items():
                yield f"{trial.walk.dialect or type}.{trial.param}.{key}", key, trial, row


def rows_of(trial: Trial) -> dict[str, Row]:
    """The rows of a walk, and those that all layers share."""
    return {**{key: row for key, row in COMMON.items() if key in trial.fields}, **trial.walk.rows}


ROWS = {name: (key, trial, row) for name, key, trial, row in walks()}


@pytest.mark.parametrize("type", TYPES)
def test_every_setting_has_a_row(type: str) -> None:
    """A field without a row fails, and so does a value of an enum; the default of an enum is what rows compare with."""
    assert {walk.dialect for walk in WALKS[type]} == set(LAYERS[type].dialects or [""])
    for trial in (Trial(type, walk) for walk in WALKS[type]):
        named = {part for key in rows_of(trial) for part in key.split()}
        required, optional = set[str](), set[str]()
        for name, kind in trial.fields.items():
            if kind.type == "enum" and name != "engine":
                required |= {f"{name}={value}" for value in kind.numbers if value != kind.default}
                optional.add(f"{name}={kind.default}")
            else:
                required.add(name)
        assert named >= required, f"without a row: {', '.join(sorted(required - named))}"
        assert named <= required | optional, f"no such field: {', '.join(sorted(named - required - optional))}"


@pytest.mark.parametrize("name", ROWS)
def test_a_row(name: str) -> None:
    key, trial, row = ROWS[name]
    row.check(trial, key)


@pytest.mark.parametrize("type", TYPES)
def test_the_default_of_an_enum_changes_nothing(type: str) -> None:
    for trial in (Trial(type, walk) for walk in WALKS[type] if Trial(type, walk).param):
        base = trial.run()
        for name, kind in trial.fields.items():
            if kind.type == "enum" and name != "normalization":
                assert all(map(np.array_equal, trial.run({name: kind.default}), base)), name


@pytest.mark.parametrize("type", TYPES)
def test_settings_of_another_type_are_told(type: str) -> None:
    """One rule for all: Caffe ignores them too, and a warning says so."""
    trial = Trial(type, WALKS[type][0])
    base = trial.run()
    for foreign in ("tile_param { tiles: 3 axis: 0 }", "elu_param { alpha: 3 }"):
        if not foreign.startswith(f"{trial.param} "):
            made = trial.run(more=foreign)
            assert all(map(np.array_equal, made, base))
            assert any("which belongs to another layer type: Caffe ignores it too" in said for said in trial.warnings)


EXTREMES = {
    "int32": (-1, 0, 7, -7),
    "uint32": (0, 7, 4),
    "float": ("nan", "inf", "-inf", -1.0, 0.0),
    "bool": (True, False),
}


@pytest.mark.parametrize("type", TYPES)
def test_a_value_out_of_range_is_refused_or_computed(type: str) -> None:
    """Whatever stands in a field: an answer, or a refusal that names the layer; never another exception."""
    for trial in (Trial(type, walk) for walk in WALKS[type] if Trial(type, walk).param):
        for name, kind in trial.fields.items():
            for value in EXTREMES.get(kind.type, ()):
                for given in (value, [value] * 5) if kind.repeated else (value,):
                    try:
                        with np.errstate(all="ignore"):
                            trial.run({name: given})
                    except CompileError as e:
                        assert f'layer "l" ({type})' in str(e), f"{name}: {given}: {e}"
                    except Exception as e:
                        raise AssertionError(f"{name}: {given} ends in {e!r}") from e


# Where Caffe ends with a failed CHECK, in the layer's LayerSetUp or Reshape.
CHECKS: dict[str, tuple[dict[str, Any], ...]] = {
    "BoxOutput": ({"field_h": [40, 40]}, {"downsample_rate": None}, {"field_whr": 0}),
    "DecodeBBox": ({"bbox_mean": [0] * 4, "bbox_std": [1, 1, 1]}, {"bbox_mean": [0] * 4, "bbox_std": [1, 1, 0, 1]}),
    "YoloDetectionOutput": ({"num_classes": None}, {"num_box": 2}, {"num_box": 0}),
    "Yolov3DetectionOutput": (
        {"num_classes": None},
        {"num_box": 0},
        {"num_box": 2},
        {"mask": [1]},
        {"mask_group_num": 2},
        {"mask_group_num": 0},
        {"anchors_scale": None},
        {"anchors_scale": [0]},
    ),
    "Accuracy": ({"top_k": 0}, {"top_k": 4}, {"axis": 3}),
    "ArgMax": ({"top_k": 0}, {"top_k": 13}, {"axis": 3}, {"axis": 2, "top_k": 5}),
    "Bias": ({"axis": 3}, {"num_axes": 3}, {"num_axes": -2}),
    "Concat": ({"axis": 1, "concat_dim": 1}, {"axis": 3}, {"concat_dim": 3}, {"axis": -4}),
    "Convolution": (
        {"num_output": 0},
        {"num_output": None},
        {"kernel_size": 0},
        {"kernel_size": None},
        {"kernel_size": [3, 3, 3]},
        {"kernel_h": 3, "kernel_w": 3},
        {"kernel_size": None, "kernel_h": 3},
        {"stride": 0},
        {"stride": [1, 1, 1]},
        {"stride": 1, "stride_h": 1, "stride_w": 1},
        {"stride_h": 2},
        {"pad": [1, 1, 1]},
        {"pad": 1, "pad_w": 1},
        {"dilation": [1, 1, 1]},
        {"group": 0},
        {"group": 3},
        {"group": 4},
        {"axis": 4},
        {"kernel_size": 7},
    ),
    "Crop": ({"axis": 4}, {"offset": [1, 2, 3]}, {"offset": [3]}),
    "DetectionOutput": (
        {"num_classes": None},
        {"num_classes": 5},
        {"share_location": False},
        {"nms_param": {"nms_threshold": -1}},
        {"nms_param": {"eta": 0}},
        {"nms_param": {"eta": 2}},
    ),
    "DummyData": (
        {"data_filler": [{"value": 1}, {"value": 2}]},
        {"shape": [{"dim": [1]}, {"dim": [2]}]},
        {"num": [1], "channels": [1], "height": [1], "width": [1]},
    ),
    "Eltwise": ({"coeff": [1, 2]}, {"coeff": [1, 2, 3], "operation": "MAX"}),
    "Embed": ({"num_output": 0}, {"input_dim": 0}),
    "Exp": ({"base": 0}, {"base": -2}),
    "Log": ({"base": 0}, {"base": -2}),
    "Flatten": ({"axis": 3, "end_axis": 1}, {"axis": 4}, {"end_axis": 4}),
    "InfogainLoss": ({"axis": 3},),
    "InnerProduct": ({"axis": 2}, {"num_output": 0}),
    "Interp": ({"zoom_factor": 0}, {"shrink_factor": 0}, {"zoom_factor": None}, {"pad_beg": 1}),
    "LRN": ({"local_size": 4}, {"local_size": 0}),
    "LSTM": ({"num_output": 0},),
    "Permute": ({"order": [0, 0]}, {"order": [3]}),
    "Pooling": (
        {"kernel_size": 0},
        {"kernel_size": None},
        {"kernel_h": 2, "kernel_w": 2},
        {"kernel_size": None, "kernel_h": 2},
        {"stride": 0},
        {"stride_h": 2, "stride_w": 2},
        {"stride": None, "stride_h": 2},
        {"pad_h": 1},
        {"pad": 1, "pad_h": 1, "pad_w": 1},
        {"pad": 2},
        {"pool": "STOCHASTIC", "pad": 1},
        {"global_pooling": True},
        {"global_pooling": True, "kernel_size": None, "stride": 2},
        {"global_pooling": True, "kernel_size": None, "stride": None, "pad": 1},
        {"round_mode": "CEIL", "ceil_mode": True},
    ),
    "PriorBox": (
        {"min_size": None},
        {"min_size": [0]},
        {"max_size": [30]},
        {"max_size": [40, 50]},
        {"variance": [0.1, 0.2]},
        {"variance": [-0.1]},
        {"step": 8, "step_h": 8, "step_w": 8},
        {"step": -8},
        {"img_size": 50, "img_h": 50, "img_w": 50},
    ),
    "Reduction": ({"axis": 3}, {"axis": -4}),
    "Reshape": (
        {"shape": {"dim": [-1, -1]}},
        {"shape": {"dim": [5, -1]}},
        {"shape": {"dim": [2, 3]}},
        {"shape": {"dim": [0, 0, 0, 0]}},
        {"shape": {"dim": [-2, 12]}},
        {"axis": 4},
        {"num_axes": -2},
        {"num_axes": 4},
    ),
    "Proposal": (
        {"feat_stride": 0},
        {"anchor_base_size": -1},
        {"max_rois": 0},
        {"pre_nms_topn": 0},
        {"anchor_scale": 1},
    ),
    "PSROIPooling": ({"output_dim": 1}, {"output_dim": 0}, {"group_size": 0}, {"spatial_scale": None}),
    "ROIAlign": ({"pooled_h": 0}, {"pooled_w": None}),
    "ROIPooling": ({"pooled_h": 0}, {"pooled_w": None}),
    "SPP": ({"pyramid_height": 0}, {"pyramid_height": None}, {"pyramid_height": 4}),
    "Scale": ({"axis": 3}, {"num_axes": 3}, {"num_axes": -2}),
    "Slice": ({"slice_point": [0]}, {"slice_point": [4]}, {"slice_point": [1, 2]}, {"axis": 1, "slice_dim": 1}),
    "Softmax": ({"axis": 2}, {"axis": -3}),
    "Tile": ({"tiles": 0}, {"tiles": None}, {"axis": 3}),
    "Upsample": ({"scale": 1}, {"upsample_h": 4}, {"scale_h": 2}, {"scale": 2, "scale_h": 2, "scale_w": 2}),
}


@pytest.mark.parametrize(("type", "settings"), [(type, s) for type, several in CHECKS.items() for s in several])
def test_what_caffe_checks_is_refused(type: str, settings: dict[str, Any]) -> None:
    with pytest.raises(CompileError) as caught:
        Trial(type, WALKS[type][0]).run(settings)
    assert f'layer "l" ({type}): ' in caught.value.message and caught.value.loc


def test_hidden_state() -> None:
    """expose_hidden: states as bottoms and tops; zeros give what the layer gives without it."""
    for type, states in (("LSTM", 2), ("RNN", 1)):
        trial = Trial(type, WALKS[type][0])
        (base,) = trial.run()
        zeros = [np.zeros((1, 2, 5), np.float32)] * states
        first, *after = trial.run({"expose_hidden": True}, [*trial.x, *zeros], tops=1 + states)
        np.testing.assert_array_equal(first, base)
        assert [a.shape for a in after] == [(1, 2, 5)] * states


def test_a_row_that_does_not_hold_fails() -> None:
    trial = Trial("ELU", Walk(elements.WALKS["ELU"].bottoms, {}))
    with pytest.raises(AssertionError, match="changes the answer"):
        Nothing("no reason", [3.0]).check(trial, "alpha")
    with pytest.raises(AssertionError, match="alpha changes nothing"):
        Becomes({"alpha": 1.0}, lambda t: t.one()).check(trial, "alpha")
    with pytest.raises(AssertionError, match="is not refused"):
        Refused(2.0).check(trial, "alpha")
