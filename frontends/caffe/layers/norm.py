"""Normalization layers without stored statistics: LRN, Normalize, MVN."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.channels import Scale
from ....compiler.ops.norm import L2Normalize, Lrn
from ....compiler.ops.reduce import Standardize
from ..layer import Layer, layer

REGIONS = {"ACROSS_CHANNELS": "across", "WITHIN_CHANNEL": "within"}


@layer("LRN", "lrn_param")
def lrn(l: Layer, x: Value) -> Value:
    """Local response normalization across channels or within a channel (lrn_layer.cpp)."""
    p = l.param
    if x.type.rank != 4:
        raise l.fault(f"it normalises images [n, c, h, w], not {x.type}")
    if p["local_size"] % 2 == 0:
        raise l.fault(f"local_size is odd, not {p['local_size']}", "local_size")
    numbers = {name: l.number(name) for name in ("alpha", "beta", "k")}
    return l.emit(Lrn(size=p["local_size"], region=l.choice("norm_region", REGIONS), **numbers), x)


@layer("Normalize", "norm_param")
def normalize(l: Layer, x: Value) -> Value:
    """Divide by the L2 norm over channels, or over the whole image, and scale (SSD's normalize_layer.cpp)."""
    p = l.param
    if not 2 <= x.type.rank <= 4:
        raise l.fault(f"it normalises images [n, c, h, w], not {x.type}")
    if not p["add_eps_before_sqrt"] and p["across_spatial"]:  # synopsys-caffe ignores it if not across_spatial
        advice = "Take it out, if eps is small enough not to matter."
        raise l.fault("add_eps_before_sqrt: false is a fork's, and not supported", "add_eps_before_sqrt", advice)
    y = l.emit(L2Normalize(across=p["across_spatial"], eps=l.number("eps")), x)
    return l.emit(Scale(), y, l.weight(() if p["channel_shared"] else (l.size(x, 1),), "gamma"))


@layer("MVN", "mvn_param")
def mvn(l: Layer, x: Value) -> Value:
    """Subtract the mean; with normalize_variance, divide by the standard deviation (mvn_layer.cpp).

    Both are of each channel or, with across_channels, of each image. add_eps_before_sqrt is synopsys-caffe's.
    """
    p = l.param
    if not 1 <= x.type.rank <= 4:
        raise l.fault(f"it takes one to four dimensions, [n, c, h, w], not {x.type}")
    per = (0,) if p["across_channels"] or x.type.rank == 1 else (0, 1)
    eps_in = "variance" if p["add_eps_before_sqrt"] else "deviation"
    return l.emit(Standardize(per=per, eps=l.number("eps"), eps_in=eps_in, scaled=p["normalize_variance"]), x)
