"""The closed table of the steps that have native kernels: their attributes, and what writes them as C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..plan import Step
from ..primitive_schema import Attribute, PrimitiveSchema
from ..primitive_table import PRIMITIVE_TABLE
from .convolution import write_conv
from .deconvolution import write_deconv
from .detection import write_detection_output
from .elementwise import write_elementwise
from .linear import write_linear
from .lrn import write_lrn
from .movement import write_copy, write_nothing, write_relayout
from .pooling import write_pool
from .resampling import write_interp, write_resize
from .rows import write_l2_normalize, write_softmax, write_standardize
from .site import Site, WrittenStep

CODE = {"code": Attribute("an epilogue", [])}
NUMBERS = Attribute("a list of whole numbers")
FLAG = Attribute("a truth value", False)
SLIDING = {
    "stride": NUMBERS,
    "pad": NUMBERS,
    "dilation": NUMBERS,
    "groups": Attribute("a whole number", 1),
    "bias": FLAG,
}
PREFIX = "native."
FINDS_ROWS = ("detection_output",)  # operators whose step finds how many rows its first result has: the second result


def finds_rows(step: Step) -> bool:
    """True if the run of a native step finds how many rows its result has."""
    return step.kind.removeprefix(PREFIX) in FINDS_ROWS


KINDS: Mapping[str, tuple[PrimitiveSchema, Callable[[Site], WrittenStep]]] = {
    "native.conv": (
        PrimitiveSchema(
            "x [N,C,H,W], w [O,C/groups,KH,KW], b [O] if `bias`, and the epilogue's operands: "
            "y = code(conv(x, w) + b, ...)",
            (2, 7),
            {**SLIDING, "algorithm": Attribute("a text", ""), **CODE},
        ),
        write_conv,
    ),
    "native.deconv": (
        PrimitiveSchema(
            "x [N,C,H,W], w [C,O,KH,KW], b [O] if `bias`, and the epilogue's operands: "
            "y = code(transposed convolution of x with w, + b, ...)",
            (2, 7),
            {**SLIDING, **CODE},
        ),
        write_deconv,
    ),
    "native.linear": (
        PrimitiveSchema(
            "x, flattened from `axis` to [M,K]; w [N,K], or [K,N] if `transpose`; b [N] if `bias`; and the epilogue's "
            "operands: y = code(x w + b, ...)",
            (2, 7),
            {"axis": Attribute("a whole number", 1), "transpose": FLAG, "bias": FLAG} | CODE,
        ),
        write_linear,
    ),
    "native.map": (
        PrimitiveSchema(
            "values of the result's shape, and vectors of one number a channel where `axes` says 1",
            (1, 7),
            {"code": Attribute("lines of [function, argument, ...]"), "axes": Attribute("a list of axes or nulls")},
        ),
        write_elementwise,
    ),
    "native.copy": (
        PrimitiveSchema(
            "values of which each box is copied: `loops` of [count, axes read, axes written] from the place `read` of "
            "the operand `from`, or for null of `value`, to the place `write` of the result; `from_dims` and `to_dims` "
            "are other shapes of the same numbers",
            (1, 1 << 16),
            {"boxes": Attribute("a list of boxes"), "what": Attribute("a text", "copy")},
        ),
        write_copy,
    ),
    "native.alias": (
        PrimitiveSchema("values whose bytes the results are", (1, 1 << 16), {}, (1, 1 << 16)),
        write_nothing,
    ),
    "native.detection_output": (
        replace(PRIMITIVE_TABLE["detection_output"], result_count=(2, 2)),  # the second is the number of rows
        write_detection_output,
    ),
    **{
        f"{PREFIX}{name}": (PRIMITIVE_TABLE[name], write)
        for name, write in (
            ("max_pool", write_pool),
            ("avg_pool", write_pool),
            ("relayout", write_relayout),
            ("softmax", write_softmax),
            ("l2_normalize", write_l2_normalize),
            ("lrn", write_lrn),
            ("standardize", write_standardize),
            ("interp", write_interp),
            ("resize", write_resize),
        )
    },
}
