"""What Caffe's layers need of their bottoms and tops: facts of BVLC Caffe's sources (src/caffe/layers, the CPU code).

A layer in place writes its result over its bottom. Its Forward has to stand that, and in training each Backward has to
find what it reads: a layer's own, and that of the layer whose result was overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...files.message import Message


@dataclass(frozen=True, slots=True)
class InPlaceNeeds:
    """What is known of a layer type; sentences end a line that begins with its name.

    `forward` is why it cannot run in place at all, None if it can; `backward` why training it in place goes wrong,
    None if it does not. `top` and `sign`: its Backward reads its result, or (in place) only the signs there. `keeps`:
    in place it keeps a copy of its bottom, so that nothing is saved. `signs`: the result has its bottom's signs, or 0.
    """

    forward: str | None = None
    backward: str | None = None
    reads_top: bool = False
    reads_sign: bool = False
    copies_bottom: bool = False
    preserves_sign: bool = False


REFUSED_IN_PLACE = "Caffe refuses it in place (CHECK_NE in its set-up)"
READS_WINDOW = "each number of its result needs many of its bottom"
NO_BACKWARD = "it has no Backward: nothing before it learns"
TABLE = {
    "AbsVal": InPlaceNeeds(forward=REFUSED_IN_PLACE),
    "BatchNorm": InPlaceNeeds(),  # keeps x_norm_
    "BN": InPlaceNeeds(),  # SegNet's and PSPNet's, the same way
    "Bias": InPlaceNeeds(),  # needs the top's gradient alone
    "BNLL": InPlaceNeeds(backward="its Backward reads the bottom, to which exp is applied"),
    "Clip": InPlaceNeeds(backward="its Backward asks which numbers of the bottom were cut off"),
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
WINDOWED_TYPES = (  # BVLC's, and SSD's, that read several numbers for each that they write
    "ArgMax", "BatchReindex", "Convolution", "Deconvolution", "Embed", "Filter", "Im2col", "InnerProduct", "LSTM",
    "Pooling", "RNN", "Reduction", "SPP",
)  # fmt: skip
UNKNOWN_TYPE = "BVLC Caffe has no such layer: look at the fork that has"
NEVER_IN_PLACE = {  # why other types cannot be in place
    "Split": "its tops are its bottom's memory already",
    "Flatten": "its top is its bottom's memory already, and Caffe refuses it in place",
    "Reshape": "its top is its bottom's memory already, and Caffe refuses it in place",
    "Slice": "its tops are parts of its bottom",
    "Concat": "its top is larger than each bottom",
    "Tile": "its top is larger than its bottom",
    "Crop": "its top is a part of its bottom",
    "Permute": "its numbers go to other places",
    "ShuffleChannel": "its numbers go to other places",
}


def needs(layer: Message) -> InPlaceNeeds:
    """What Caffe's layer of this type, with these settings, needs."""
    type: str = layer["type"]
    if type == "ReLU":
        negative = layer["relu_param"]["negative_slope"] < 0
        why = "a negative negative_slope changes the signs that its Backward asks for" if negative else None
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
    """True if we know what the layer needs."""
    return needs(layer).forward != UNKNOWN_TYPE


def power_needs(settings: Message) -> InPlaceNeeds:
    """power_layer.cpp: the gradient is a number for power 1 (and for power or scale 0), else it is worked out."""
    if settings["power"] == 1 or settings["power"] == 0 or settings["scale"] == 0:
        return InPlaceNeeds(preserves_sign=settings["shift"] == 0 and settings["scale"] > 0 and settings["power"] == 1)
    return InPlaceNeeds(backward="its Backward divides by the bottom", reads_top=True)


def eltwise_needs(operation: str) -> InPlaceNeeds:
    """eltwise_layer.cpp: SUM clears the top before it reads the bottoms."""
    if operation == "SUM":
        return InPlaceNeeds(forward="it clears its top before it reads its bottoms")
    if operation == "PROD":
        return InPlaceNeeds(backward="its Backward reads all bottoms and the top", reads_top=True)
    return InPlaceNeeds()  # MAX keeps which bottom it took
