"""The BN layers of Caffe's forks, SegNet's and PSPNet's: a batch normalization with scale and shift."""

from __future__ import annotations

from ....compiler.ir import Constant, Value
from ....compiler.ops.channels import BatchNorm, Scale
from ....compiler.ops.reduce import Standardize
from ..layer import Layer, layer

TWO_BLOB_FIELDS = ("bn_mode", "scale_filler", "shift_filler")  # SegNet's settings
FOUR_BLOB_FIELDS = (
    "slope_filler",
    "bias_filler",
    "frozen",
    "momentum",
    "eps",
    "engine",
)  # PSPNet's; happynear's are the same


@layer("BN", "bn_param")
def bn(l: Layer, x: Value) -> Value:
    """Normalize, scale and shift each channel (bn_layer.cpp). Blobs are [1, c, 1, 1] in the file.

    SegNet's two blobs are scale and shift: with bn_mode INFERENCE the statistics are folded into them, with LEARN the
    data are first normalized by the batch's statistics, in TEST too. The four of PSPNet and ICNet are slope, bias,
    mean and variance.
    """
    if not 2 <= x.type.rank <= 4:
        raise l.fault(f"it takes data [n, c] to [n, c, h, w], not {x.type}")
    stored = blob_count(l)
    gamma, beta = channel_weight(l, x, "gamma"), channel_weight(l, x, "beta")
    if stored == 4:
        x = l.emit(BatchNorm(eps=l.number("eps")), x, channel_weight(l, x, "mean"), channel_weight(l, x, "variance"))
    elif l.choice("bn_mode", {"LEARN": True, "INFERENCE": False}):
        x = l.emit(Standardize(per=(1,), eps=1e-9, eps_in="variance"), x)
    return l.emit(Scale(), x, gamma, beta)


def blob_count(l: Layer) -> int:
    """The count of blobs, two (SegNet) or four (PSPNet), from settings, params or the caffemodel.

    CompileError if it is unknown, or the settings contradict each other.
    """
    p, params = l.param, len(l.message["param"])
    if "icnet" in p:  # synopsys-caffe's setting for it
        return 4 if p["icnet"] else 2
    two, four = ([field for field in fields if field in p] for fields in (TWO_BLOB_FIELDS, FOUR_BLOB_FIELDS))
    if two and (four or params > 2):
        theirs = four[0] if four else f"a param for each of {params} blobs"
        advice = "Remove what is not intended: SegNet's blobs are scale, shift; PSPNet's slope, bias, mean, variance."
        raise l.fault(f"{two[0]} is SegNet's, and {theirs} PSPNet's, whose BN is another layer", two[0], advice)
    if two:
        return 2
    if l.stored in (2, 4):
        return l.stored
    if params == 2:
        if four:
            warning = f"has {four[0]}, which is PSPNet's, and param for two blobs, as synopsys' BN takes them"
            l.importer.warn(f"{l.label} {warning}: it has two, unless a caffemodel has four")
        return 2
    if four or params > 2:  # Caffe refuses more params than blobs
        return 4
    advice = "Write bn_param { bn_mode: LEARN } or INFERENCE for SegNet's, bn_param { frozen: true } for PSPNet's."
    raise l.fault("SegNet's BN, of two blobs, and PSPNet's, of four, cannot be told apart here", None, advice)


def channel_weight(l: Layer, x: Value, role: str) -> Constant:
    """The next blob, [1, c, 1, 1] in the file, as a constant [c]."""
    channels = l.sizes(x.type.dims[1:2])
    data = l.numbers((1, *channels, 1, 1), role)
    return l.constant(None if data is None else data.reshape(channels), channels, role)
