"""What Caffe's layers need of their bottoms and tops: facts of BVLC Caffe's sources (src/caffe/layers, the CPU code).

A layer in place writes its result over its bottom. Its Forward has to stand that, and in training each Backward has to
find what it reads: a layer's own, and that of the layer whose result was overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...files.message import Message


@dataclass(frozen=True, slots=True)
class Needs:
    """What is known of a layer type; sentences end a line that begins with its name.

    `forward` is why it cannot run in place at all, None if it can; `backward` why training it in place goes wrong,
    None if it does not. `top` and `sign`: its Backward reads its result, or (in place) only the signs there. `keeps`:
    in place it keeps a copy of its bottom, so that nothing is saved. `signs`: the result has its bottom's signs, or 0.
    """

    forward: str | None = None
    backward: str | None = None
    top: bool = False
    sign: bool = False
    keeps: bool = False
    signs: bool = False


REFUSED = "Caffe refuses it in place (CHECK_NE in its set-up)"
WINDOWS = "each number of its result needs many of its bottom"
NO_BACKWARD = "it has no Backward: nothing before it learns"
TABLE = {
    "AbsVal": Needs(forward=REFUSED),
    "BatchNorm": Needs(),  # keeps x_norm_
    "BN": Needs(),  # SegNet's and PSPNet's, the same way
    "Bias": Needs(),  # needs the top's gradient alone
    "BNLL": Needs(backward="its Backward reads the bottom, to which exp is applied"),
    "Clip": Needs(backward="its Backward asks which numbers of the bottom were cut off"),
    "Dropout": Needs(signs=True),  # keeps its mask; scaling and zeros
    "ELU": Needs(top=True, signs=True),  # the sign of the top is that of the bottom
    "Exp": Needs(top=True),
    "Log": Needs(backward="its Backward divides by the bottom"),
    "LRN": Needs(forward="it reads the bottom again after it has begun to write", top=True),
    "MVN": Needs(backward="its Backward reads the top's gradient after it has begun to write the bottom's", top=True),
    "PReLU": Needs(keeps=True),  # bottom_memory_
    "Scale": Needs(keeps=True),  # temp_
    "Normalize": Needs(forward=WINDOWS, top=True),
    "Sigmoid": Needs(top=True),
    "Softmax": Needs(top=True),
    "Swish": Needs(top=True),
    "TanH": Needs(top=True, signs=True),
    "Threshold": Needs(backward=NO_BACKWARD),
}
WINDOWED = (  # BVLC's, and SSD's, that read several numbers for each that they write
    "ArgMax", "BatchReindex", "Convolution", "Deconvolution", "Embed", "Filter", "Im2col", "InnerProduct", "LSTM",
    "Pooling", "RNN", "Reduction", "SPP",
)  # fmt: skip
STRANGE = "BVLC Caffe has no such layer: look at the fork that has"
UNLIKE = {  # why other types cannot be in place
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


def needs(layer: Message) -> Needs:
    """What Caffe's layer of this type, with these settings, needs."""
    type: str = layer["type"]
    if type == "ReLU":
        negative = layer["relu_param"]["negative_slope"] < 0
        why = "a negative negative_slope changes the signs that its Backward asks for" if negative else None
        return Needs(backward=why, sign=True, signs=not negative)
    if type == "Power":
        return power(layer["power_param"])
    if type == "Eltwise":
        return eltwise(layer["eltwise_param"]["operation"])
    if type == "Scale" and len(layer["bottom"]) > 1:
        return Needs(backward="its Backward reads the first bottom for the gradient of the second", keeps=True)
    if type in UNLIKE:
        return Needs(forward=UNLIKE[type])
    return TABLE.get(type, Needs(forward=WINDOWS if type in WINDOWED else STRANGE))


def known(layer: Message) -> bool:
    """True if we know what the layer needs."""
    return needs(layer).forward != STRANGE


def power(settings: Message) -> Needs:
    """power_layer.cpp: the gradient is a number for power 1 (and for power or scale 0), else it is worked out."""
    if settings["power"] == 1 or settings["power"] == 0 or settings["scale"] == 0:
        return Needs(signs=settings["shift"] == 0 and settings["scale"] > 0 and settings["power"] == 1)
    return Needs(backward="its Backward divides by the bottom", top=True)


def eltwise(operation: str) -> Needs:
    """eltwise_layer.cpp: SUM clears the top before it reads the bottoms."""
    if operation == "SUM":
        return Needs(forward="it clears its top before it reads its bottoms")
    if operation == "PROD":
        return Needs(backward="its Backward reads all bottoms and the top", top=True)
    return Needs()  # MAX keeps which bottom it took
