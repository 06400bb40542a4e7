"""Layers that normalise over neighbours."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.norm import Lrn
from ..layer import Layer, layer

REGIONS = {"ACROSS_CHANNELS": "across", "WITHIN_CHANNEL": "within"}


@layer("LRN", "lrn_param")
def lrn(l: Layer, x: Value) -> Value:
    p = l.param
    if x.type.rank != 4:
        raise l.fault(f"it normalises images [n, c, h, w], not {x.type}")
    if p["local_size"] % 2 == 0:
        raise l.fault(f"local_size is odd, not {p['local_size']}", "local_size")
    numbers = {name: l.number(name) for name in ("alpha", "beta", "k")}
    return l.emit(Lrn(size=p["local_size"], region=REGIONS[p["norm_region"]], **numbers), x)
