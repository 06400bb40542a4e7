"""caffe_pb2: Caffe's own numbers and none of cortado's; nets written in Python; maps of coordinates; drawings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from cortado.compat.pycaffe import NetSpec, coord_map, draw, net_spec, to_proto
from cortado.compat.pycaffe import layers as L
from cortado.compat.pycaffe import params as P
from cortado.compat.pycaffe.proto import caffe_pb2
from cortado.compat.pycaffe.proto.official import official_file
from cortado.frontends.files import schema
from cortado.frontends.files.scalars import FORKS_NUMBERS

NUMBERS = (Path(__file__).parent / "files" / "caffe_numbers.txt").read_text().split("\n")[1:-1]


@pytest.mark.parametrize("line", NUMBERS, ids=lambda line: line.split(" ")[0])
def test_numbers_and_types_are_caffes(line: str) -> None:
    name, _, rest = line.partition(" ")
    if name.endswith(":"):
        owner, _, enum = name[:-1].rpartition(".")
        scope = getattr(caffe_pb2, owner) if owner else caffe_pb2
        for value in rest.split():
            word, number = value.split("=")
            assert getattr(scope, enum).Value(word) == getattr(scope, word) == int(number)
        return
    message, _, field = name.partition(".")
    _, number, label, type = rest.split(" ")
    found = getattr(caffe_pb2, message).DESCRIPTOR.fields_by_name[field]
    named = found.message_type or found.enum_type
    assert found.number == int(number) and found.is_repeated == (label == "repeated")
    assert (named.full_name.removeprefix("caffe.") if named else schema.TYPE_NAMES[found.type]) == type


def test_no_number_is_cortados() -> None:
    """Neither of a field nor of a value. A text with a field of another fork is refused, and so never written."""
    for message in official_file().message_types_by_name.values():
        assert all(field.number < FORKS_NUMBERS for field in message.fields), message.name
        assert all(v.number < FORKS_NUMBERS for e in message.enum_types for v in e.values), message.name
    assert "ROIPoolingParameter" not in vars(caffe_pb2) and not hasattr(caffe_pb2, "Engine")
    with pytest.raises(text_format.ParseError, match="roi_pooling_param"):
        text_format.Merge("layer { roi_pooling_param { pooled_h: 7 } }", caffe_pb2.NetParameter())


def test_messages_of_data_labels_and_solvers_are_there() -> None:
    labels = caffe_pb2.LabelMap()
    text_format.Merge('item { name: "n1" label: 1 display_name: "cat" }', labels)
    assert labels.item[0].display_name == "cat"
    solver = text_format.Parse('net: "a" base_lr: 0.01 solver_mode: CPU', caffe_pb2.SolverParameter())
    assert solver.solver_mode == caffe_pb2.SolverParameter.CPU and solver.type == "SGD"
    detector = text_format.Parse("layer { detection_output_param { num_classes: 21 } }", caffe_pb2.NetParameter())
    assert detector.layer[0].detection_output_param.num_classes == 21
    assert detector.SerializeToString() == b"\xa2\x06\x05\xe2\x0c\x02\x08\x15"  # field 100, and 204 in it
    assert caffe_pb2.PriorBoxParameter.CENTER_SIZE == 2 and caffe_pb2.Phase.Name(caffe_pb2.TEST) == "TEST"
    assert caffe_pb2._V1LAYERPARAMETER_LAYERTYPE.values_by_name["CONVOLUTION"].number == 4


def test_a_net_is_written_in_python() -> None:
    n = NetSpec()
    n.data, n.label = L.Data(batch_size=64, source="lmdb", transform_param={"scale": 0.5}, ntop=2)
    n.conv1 = L.Convolution(
        n.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"}, param=[{"lr_mult": 1}]
    )
    n["pool"] = L.Pooling(L.ReLU(n.conv1, in_place=True), pool=P.Pooling.MAX, kernel_size=2)
    n.score = L.InnerProduct(L.Dropout(n.pool), inner_product_param={"num_output": 10})
    n.silence = L.Silence(n.label, ntop=0)
    found = n.to_proto()
    expected = """
    layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.5 }
            data_param { source: "lmdb" batch_size: 64 } }
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 }
            convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
    layer { name: "ReLU1" type: "ReLU" bottom: "conv1" top: "conv1" }
    layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool" pooling_param { pool: MAX kernel_size: 2 } }
    layer { name: "Dropout1" type: "Dropout" bottom: "pool" top: "Dropout1" }
    layer { name: "score" type: "InnerProduct" bottom: "Dropout1" top: "score" inner_product_param { num_output: 10 } }
    layer { name: "silence" type: "Silence" bottom: "label" }"""
    assert found == text_format.Parse(expected, caffe_pb2.NetParameter())
    assert [layer.name for layer in to_proto(n.pool).layer] == ["Data1", "Convolution1", "ReLU1", "Pooling1"]


def test_what_cannot_be_written_is_an_error() -> None:
    data = L.Input(shape={"dim": [1, 3]})
    assert list(data.to_proto().layer[0].input_param.shape[0].dim) == [1, 3]
    with pytest.raises(TypeError, match="ReLU: bottom 0 is a tuple"):
        L.ReLU((data, data))
    with pytest.raises(AttributeError, match="LayerParameter has no field kernel"):
        L.Convolution(data, kernel=3).to_proto()
    with pytest.raises(AttributeError, match="no top conv9"):
        NetSpec().conv9  # noqa: B018
    assert net_spec.param_name_dict()["InnerProduct"] == "inner_product"


def spatial(**settings: Any) -> Any:
    return {"kernel_size": 3, "num_output": 1} | settings


def test_a_crop_finds_its_offset() -> None:
    """FCN-32s pads by 100, halves five times and multiplies by 32 again; its authors' files crop by 19."""
    data = L.Input()
    top = L.Convolution(data, **spatial(pad=100))
    for _ in range(5):
        top = L.Pooling(L.ReLU(top), kernel_size=2, stride=2)
    top = L.Deconvolution(
        L.Convolution(top, **spatial(kernel_size=7)), convolution_param=spatial(kernel_size=64, stride=32)
    )
    crop = coord_map.crop(top, data)
    assert list(crop.to_proto().layer[-1].crop_param.offset) == [19] and crop.to_proto().layer[-1].crop_param.axis == 2


def test_maps_that_do_not_exist_are_refused() -> None:
    data, other = L.Input(), L.Input()
    with pytest.raises(RuntimeError, match="no map between these tops"):
        coord_map.crop(data, other)
    with pytest.raises(AssertionError, match="different scales"):
        coord_map.crop(L.Pooling(data, kernel_size=2, stride=2), data)
    with pytest.raises(AssertionError, match="negative"):
        coord_map.crop(data, L.Convolution(data, **spatial(pad=2)))
    with pytest.raises(coord_map.AxisMismatchException):
        coord_map.compose((1, 1, 0), (2, 1, 0))
    assert coord_map.inverse((1, 2.0, 4.0)) == (1, 0.5, -2.0)
    assert np.allclose(coord_map.coord_map(L.Convolution(data, **spatial(dilation=2)).fn)[2], -2)
    with pytest.raises(AssertionError, match="kernel_h"):
        coord_map.coord_map(L.Convolution(data, kernel_h=3, kernel_w=3).fn)


def test_a_net_is_drawn() -> None:
    pytest.importorskip("pydot")
    n = NetSpec()
    n.data = L.Input()
    n["a:b"] = L.Convolution(n.data, num_output=8, kernel_size=3, param=[{"lr_mult": 2}])
    n.pool = L.Pooling(L.ReLU(n["a:b"], in_place=True), pool=P.Pooling.AVE, kernel_size=2, stride=2)
    n.tested = L.ReLU(n.pool, include={"phase": caffe_pb2.TEST})
    graph = draw.get_pydot_graph(n.to_proto(), "LR", phase=caffe_pb2.TRAIN, display_lrm=True)
    text = graph.to_string()
    assert r'"a:b\n(Convolution)\nkernel size: 3\nstride: 1\npad: 0\nlr mult: 2.0, 1.0"' in text
    assert "(Pooling AVE)" in text and '"data_blob" -> "a:b_Convolution"' in text and "label=8" in text
    assert text.count('\n"a:b_blob" [') == 1 and "#90EE90" in text and "tested" not in text
    if shutil.which("dot") is None:
        with pytest.raises(FileNotFoundError, match="apt install graphviz"):
            draw.draw_net_to_file(n.to_proto(), "net.png")
    both = caffe_pb2.LayerParameter(include=[{}], exclude=[{}])
    with pytest.raises(ValueError, match="only one kind"):
        draw.is_included(both, None)
    assert draw.is_included(caffe_pb2.LayerParameter(exclude=[{"phase": 0}]), 1)
    with pytest.raises(ValueError, match="no learning rates"):
        draw.get_layer_lr_mult(caffe_pb2.LayerParameter(type="ReLU"))
