"""The BN layers of Caffe's forks, SegNet's and PSPNet's: a batch normalization with scale and shift."""

from __future__ import annotations

from collections.abc import Callable

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


FIELDS = (*TWO_BLOB_FIELDS, *FOUR_BLOB_FIELDS, "icnet", "var_eps", "moving_average")


def has_other_blobs_than(count: int) -> Callable[[Layer], str]:
    """A function that tells if a layer has another count of blobs, by its settings, params or the caffemodel."""

    def against(l: Layer) -> str:
        return "" if blob_count(l) in (None, count) else f"it has {count} blobs"

    return against


@layer("BN", "bn_param", dialect="segnet", fields=FIELDS, against=has_other_blobs_than(2))
def bn_of_two_blobs(l: Layer, x: Value) -> Value:
    """Scale and shift each channel, with bn_mode LEARN after normalizing by the batch's statistics, in TEST too.

    The two blobs are [1, c, 1, 1] in the file; with bn_mode INFERENCE, statistics are folded into them (SegNet's
    bn_layer.cpp).
    """
    check_rank(l, x)
    if l.param["icnet"]:
        raise l.fault("icnet: true is for the BN of four blobs", "icnet")
    if len(l.message["param"]) == 2 and (four := [field for field in FOUR_BLOB_FIELDS if field in l.param]):
        warning = f"has {four[0]}, which is PSPNet's, and param for two blobs, as synopsys' BN takes them"
        l.importer.warn(f"{l.label} {warning}: it has two, unless a caffemodel has four")
    gamma, beta = channel_weight(l, x, "gamma"), channel_weight(l, x, "beta")
    if l.choice("bn_mode", {"LEARN": True, "INFERENCE": False}):
        x = l.emit(Standardize(per=(1,), eps=1e-9, eps_in="variance"), x)
    return l.emit(Scale(), x, gamma, beta)


@layer("BN", "bn_param", dialect="pspnet", fields=FIELDS, against=has_other_blobs_than(4))
def bn_of_four_blobs(l: Layer, x: Value) -> Value:
    """Normalize by stored statistics, then scale and shift each channel (PSPNet's bn_layer.cpp).

    The blobs are slope, bias, mean and variance, [1, c, 1, 1] in the file.
    """
    check_rank(l, x)
    _ = l.param["icnet"]  # synopsys-caffe's setting for this one
    gamma, beta = channel_weight(l, x, "gamma"), channel_weight(l, x, "beta")
    x = l.emit(BatchNorm(eps=l.number("eps")), x, channel_weight(l, x, "mean"), channel_weight(l, x, "variance"))
    return l.emit(Scale(), x, gamma, beta)


def check_rank(l: Layer, x: Value) -> None:
    if not 2 <= x.type.rank <= 4:
        raise l.fault(f"it takes data [n, c] to [n, c, h, w], not {x.type}")


def blob_count(l: Layer) -> int | None:
    """The count of blobs, two (SegNet) or four (PSPNet), from settings, params or the caffemodel; None if unknown.

    CompileError if the settings contradict each other.
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
        return 2
    return 4 if four or params > 2 else None  # Caffe refuses more params than blobs


def channel_weight(l: Layer, x: Value, role: str) -> Constant:
    """The next blob, [1, c, 1, 1] in the file, as a constant [c]."""
    channels = l.sizes(x.type.dims[1:2])
    data = l.numbers((1, *channels, 1, 1), role)
    return l.constant(None if data is None else data.reshape(channels), channels, role)
