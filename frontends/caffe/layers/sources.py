"""Layers without bottoms: Parameter (learnt) and DummyData (constant)."""

from __future__ import annotations

from ....compiler.ir import Value
from ..data_layers import dummy_shapes
from ..layer import MANY, Layer, layer, shortest_decimal


@layer("Parameter", "parameter_param", bottoms=0)
def parameter(l: Layer) -> Value:
    """A learnt blob as the top (parameter_layer.hpp)."""
    shape = l.param["shape"]["dim"]
    if any(d < 1 for d in shape):
        raise l.fault(f"its shape is {list(shape)}: every size is at least 1", "shape")
    return l.weight(shape, "value")


@layer("DummyData", "dummy_data_param", bottoms=0, tops=(1, MANY))
def dummy_data(l: Layer) -> tuple[Value, ...]:
    """Constants filled with one value, with a shape and filler per top, or one for all (dummy_data_layer.cpp)."""
    fillers, count = l.param["data_filler"], len(l.tops)
    if len(fillers) not in (0, 1, count):
        raise l.fault(f"it has {len(fillers)} fillers, and {count} tops", "data_filler")
    made = list[Value]()
    for i, (top, shape) in enumerate(zip(l.tops, dummy_shapes(l.message), strict=True)):
        filler = fillers[i if len(fillers) > 1 else 0] if fillers else None
        if filler is not None and filler["type"] != "constant":
            advice = f"Make it an input: --shape {top}={','.join(map(str, shape))}; or give it a constant filler."
            raise l.fault(f'it fills "{top}" with random values ({filler["type"]})', "data_filler", advice)
        value = shortest_decimal(filler["value"]) if filler is not None else 0.0
        made.append(l.filled(value, shape, f"{top}.value"))
    return tuple(made)
