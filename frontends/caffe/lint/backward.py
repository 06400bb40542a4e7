"""Which layer types are safe in place: facts from BVLC Caffe's sources (src/caffe/layers, the CPU code).

An in-place layer overwrites its bottom. Its Forward must allow that, and in training two Backwards must still find the
data they read: its own, and that of the layer that produced the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...files.message import Message


@dataclass(frozen=True, slots=True)
class InPlaceNeeds:
    """The constraints of a layer type on running in place; reasons are clauses that follow the layer's name.

    `forward`: why it cannot run in place at all, or None. `backward`: why it cannot be trained in place, or None.
    `reads_top`: its Backward reads its top. `reads_sign`: in place, its Backward reads only the signs of its top.
    `copies_bottom`: in place it keeps a copy of its bottom, so no memory is saved. `preserves_sign`: each element of
    the top is 0 or has the sign of the bottom's.
    """

    forward: str | None = None
    backward: str | None = None
    reads_top: bool = False
    reads_sign: bool = False
    copies_bottom: bool = False
    preserves_sign: bool = False


REFUSED_IN_PLACE = "Caffe refuses it in place (CHECK_NE in its set-up)"
READS_WINDOW = "each element of its top depends on many of its bottom"
NO_BACKWARD = "it has no Backward: nothing before it learns"
TABLE = {
    "AbsVal": InPlaceNeeds(forward=REFUSED_IN_PLACE),
    "BatchNorm": InPlaceNeeds(),  # keeps x_norm_
    "BN": InPlaceNeeds(),  # SegNet's and PSPNet's, the same way
    "Bias": InPlaceNeeds(),  # needs the top's gradient alone
    "BNLL": InPlaceNeeds(backward="its Backward reads the bottom, to which exp is applied"),
    "Clip": InPlaceNeeds(backward="its Backward reads which elements of the bottom were clipped"),
    "Dropout": InPlaceNeeds(preserves_sign=True),  # keeps its mask; scaling and zeros
    "ELU": InPlaceNeeds(reads_top=True, preserves_sign=True),  # the sign of the top is that of the bottom
    "Exp": InPlaceNeeds(reads_top=True),
    "Log": InPlaceNeeds(backward="its Backward divides by the bottom"),
    "LRN": InPlaceNeeds(forward="it reads the bottom again after it has begun to write", reads_top=True),
    "MVN": InPlaceNeeds(
        backward="its Backward reads the top's gradient after it has begun to write the bottom's", reads_top=True
    ),
    "PReLU": InPlaceNeeds(copies_bottom=True),  # bottom_memory_
    "Scale": InPlaceNeeds(copies_bottom=True),  # temp_
    "Normalize": InPlaceNeeds(forward=READS_WINDOW, reads_top=True),
    "Sigmoid": InPlaceNeeds(reads_top=True),
    "Softmax": InPlaceNeeds(reads_top=True),
    "Swish": InPlaceNeeds(reads_top=True),
    "TanH": InPlaceNeeds(reads_top=True, preserves_sign=True),
    "Threshold": InPlaceNeeds(backward=NO_BACKWARD),
}
WINDOWED_TYPES = (  # types of BVLC and SSD that read several elements for each one they write
    "ArgMax", "BatchReindex", "Convolution", "Deconvolution", "Embed", "Filter", "Im2col", "InnerProduct", "LSTM",
    "Pooling", "RNN", "Reduction", "SPP",
)  # fmt: skip
UNKNOWN_TYPE = "BVLC Caffe has no such layer: look at the fork that has"
NEVER_IN_PLACE = {  # why these types cannot be in place
    "Split": "its tops alias its bottom already",
    "Flatten": "its top aliases its bottom already, and Caffe refuses it in place",
    "Reshape": "its top aliases its bottom already, and Caffe refuses it in place",
    "Slice": "its tops are parts of its bottom",
    "Concat": "its top is larger than each bottom",
    "Tile": "its top is larger than its bottom",
    "Crop": "its top is a part of its bottom",
    "Permute": "it reorders elements",
    "ShuffleChannel": "it reorders elements",
}


def needs(layer: Message) -> InPlaceNeeds:
    """The in-place constraints of a layer with its settings."""
    type: str = layer["type"]
    if type == "ReLU":
        negative = layer["relu_param"]["negative_slope"] < 0
        why = "a negative negative_slope changes the signs that its Backward reads" if negative else None
        return InPlaceNeeds(backward=why, reads_sign=True, preserves_sign=not negative)
    if type == "Power":
        return power_needs(layer["power_param"])
    if type == "Eltwise":
        return eltwise_needs(layer["eltwise_param"]["operation"])
    if type == "Scale" and len(layer["bottom"]) > 1:
        return InPlaceNeeds(
            backward="its Backward reads the first bottom for the gradient of the second", copies_bottom=True
        )
    if type in NEVER_IN_PLACE:
        return InPlaceNeeds(forward=NEVER_IN_PLACE[type])
    return TABLE.get(type, InPlaceNeeds(forward=READS_WINDOW if type in WINDOWED_TYPES else UNKNOWN_TYPE))


def is_known(layer: Message) -> bool:
    """True if the layer's type is one of BVLC Caffe's or SSD's, whose constraints are known."""
    return needs(layer).forward != UNKNOWN_TYPE


def power_needs(settings: Message) -> InPlaceNeeds:
    """power_layer.cpp: the gradient is constant for power 1 (and for power or scale 0), else it reads the data."""
    if settings["power"] == 1 or settings["power"] == 0 or settings["scale"] == 0:
        return InPlaceNeeds(preserves_sign=settings["shift"] == 0 and settings["scale"] > 0 and settings["power"] == 1)
    return InPlaceNeeds(backward="its Backward divides by the bottom", reads_top=True)


def eltwise_needs(operation: str) -> InPlaceNeeds:
    """eltwise_layer.cpp: SUM and MAX set the top before they read the bottoms."""
    if operation in ("SUM", "MAX"):
        return InPlaceNeeds(forward="it clears its top before it reads its bottoms")
    return InPlaceNeeds(backward="its Backward reads all bottoms and the top", reads_top=True)
