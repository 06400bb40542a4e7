"""Caffe's message types, made from our own list of them."""

from __future__ import annotations

import pytest

from cortado.frontends.files.schema import descriptor, field_types, message_class

# From BVLC Caffe 1.0's files: message, field, number, default.
KNOWN = [
    ("NetParameter", "layer", 100, None),
    ("NetParameter", "layers", 2, None),
    ("BlobProto", "data", 5, None),
    ("BlobProto", "shape", 7, None),
    ("BlobProto", "double_data", 8, None),
    ("BlobProto", "raw_data", 12, b""),
    ("LayerParameter", "blobs", 7, None),
    ("LayerParameter", "convolution_param", 106, None),
    ("LayerParameter", "batch_norm_param", 139, None),
    ("LayerParameter", "recurrent_param", 146, None),
    ("LayerParameter", "swish_param", 147, None),
    ("LayerParameter", "clip_param", 148, None),
    ("LayerParameter", "permute_param", 202, None),  # from here the SSD fork's
    ("LayerParameter", "norm_param", 206, None),
    ("V1LayerParameter", "layer", 1, None),
    ("V1LayerParameter", "blobs", 6, None),
    ("V1LayerParameter", "blob_share_mode", 1002, None),
    ("V0LayerParameter", "blobs", 50, None),
    ("V0LayerParameter", "beta", 15, 0.75),
    ("ConvolutionParameter", "dilation", 18, None),
    ("ConvolutionParameter", "bias_term", 2, True),
    ("PoolingParameter", "round_mode", 13, "CEIL"),
    ("PoolingParameter", "ceil_mode", None, True),
    ("LRNParameter", "local_size", 1, 5),
    ("LossParameter", "normalization", 3, "VALID"),
    ("NetState", "phase", 1, "TEST"),
    ("CropParameter", "axis", 1, 2),
    ("ReductionParameter", "operation", 1, "SUM"),
    ("MVNParameter", "eps", 3, pytest.approx(1e-9)),
    ("WindowDataParameter", "crop_mode", 11, "warp"),
    ("DetectionOutputParameter", "code_type", 6, "CORNER"),
    ("PriorBoxParameter", "offset", 13, 0.5),
]


@pytest.mark.parametrize(("message", "field", "number", "default"), KNOWN)
def test_fields_are_caffes(message: str, field: str, number: int | None, default: object) -> None:
    assert number is None or descriptor(message).fields_by_name[field].number == number
    assert field_types(message)[field].default == default


def test_enums() -> None:
    types = field_types("V1LayerParameter")["type"].numbers
    assert (types["NONE"], types["CONVOLUTION"], types["SOFTMAX"], types["CONTRASTIVE_LOSS"]) == (0, 4, 20, 37)
    assert sorted(n for n in types.values() if n < 40) == list(range(40))
    assert field_types("LayerParameter")["phase"].numbers == {"TRAIN": 0, "TEST": 1}


def test_repeated_numbers_of_blobs_are_packed() -> None:
    fields = descriptor("BlobProto").fields_by_name
    assert fields["data"].GetOptions().packed and fields["double_data"].GetOptions().packed


def test_messages_can_be_filled_and_read_back() -> None:
    net = message_class("NetParameter")()
    layer = net.layer.add(name="conv", type="Convolution")  # type: ignore[attr-defined]
    layer.convolution_param.kernel_size.extend([3, 5])
    again = message_class("NetParameter")()
    again.MergeFromString(net.SerializeToString())
    assert again == net
