"""The primitives that copy, order and select elements, and compute none. Part of the table in primitive_table.py."""

from __future__ import annotations

from collections.abc import Mapping

from .primitive_schema import AXIS, FLAG, INTS, MANY, Attribute, PrimitiveSchema, number_or

MOVEMENT_PRIMITIVES: Mapping[str, PrimitiveSchema] = {
    "concat": PrimitiveSchema(
        "tensors whose shapes differ only along `axis`; one that is in place already is not copied",
        (1, MANY),
        AXIS,
        converts=True,
    ),
    "slice": PrimitiveSchema(
        "x: split along `axis` at `points` or, without points, into as many equal parts as there are results",
        (1, 1),
        {**AXIS, "points": Attribute("a list of whole numbers or null", None), "parts": Attribute("a whole number", 0)},
        (1, MANY),
        moves=True,
    ),
    "reshape": PrimitiveSchema(
        "x; the result has its elements in Caffe's order. `copied`, if given, has for each dimension of the result the "
        "axis of x whose size it has, or -1; at most one of those with -1 is dynamic",
        (1, 1),
        {"copied": Attribute("a list of whole numbers", ())},
        moves=True,
    ),
    "relayout": PrimitiveSchema(
        "x; the result differs in layout only",
        (1, 1),
        {"to": Attribute("nchw or nhwc", "nhwc")},
        converts=True,
    ),
    "copy": PrimitiveSchema("x", (1, 1), converts=True),
    "transpose": PrimitiveSchema("x; axis i of the result is axis order[i] of x", (1, 1), {"order": INTS}, moves=True),
    "flip": PrimitiveSchema(
        "x; the elements along each of `axes` are in reverse order", (1, 1), {"axes": INTS}, moves=True
    ),
    "reorg": PrimitiveSchema(
        "x [N,C,H,W]: Darknet's reorganization by `stride` into [N,C*stride^2,H/stride,W/stride], or back from it",
        (1, 1),
        {"stride": Attribute("a whole number"), "reverse": FLAG},
        moves=True,
    ),
    "pad": PrimitiveSchema(
        "x, along each axis with so many elements of `value` `before` and `after` it; a negative number cuts some off",
        (1, 1),
        {"before": INTS, "after": INTS, "value": number_or(0.0)},
        moves=True,
    ),
    "crop": PrimitiveSchema(
        "x; optionally a tensor whose sizes are used in place of `sizes`: x cropped along the axes from `axis` on",
        (1, 2),
        {
            "axis": Attribute("a whole number", 2),
            "offset": Attribute("a list of whole numbers", (0,)),
            "sizes": Attribute("a list of whole numbers", ()),
        },
        moves=True,
    ),
    "tile": PrimitiveSchema(
        "x: repeated `tiles` times along `axis`", (1, 1), {"tiles": Attribute("a whole number"), **AXIS}, moves=True
    ),
    "gather": PrimitiveSchema(
        "a table [R,...]; an index of any shape: each element, truncated to an integer, selects a row",
        (2, 2),
        indices=(1,),
    ),
    "filter": PrimitiveSchema(
        "tensors of R rows, and a selector [R,1,...]: the rows of each tensor where the selector is not 0",
        (2, MANY),
        {},
        (1, MANY),
        moves=True,
    ),
}
