"""The closed table of primitives that a plan may use, with their operands, attributes and results."""

from __future__ import annotations

from collections.abc import Mapping

from .detection_table import DETECTION_PRIMITIVES
from .movement_table import MOVEMENT_PRIMITIVES
from .primitive_schema import ACTIVATIONS as ACTIVATIONS
from .primitive_schema import AXIS, FLAG, INTS, LAUNCH_ATTRIBUTES, MANY, Attribute, PrimitiveSchema, number_or
from .primitive_schema import EXPR_FUNCTIONS as EXPR_FUNCTIONS

FUSED_ACTIVATION = {
    "activation": Attribute("an activation", ""),
    "slope": number_or(0.0),
    "low": number_or(0.0),
    "high": number_or(0.0),
}
WINDOW = {
    "kernel": Attribute("a list of whole numbers or null", None),
    "stride": Attribute("a list of whole numbers or null", None),
    "pad": Attribute("a list of whole numbers or null", None),
    "round": Attribute("up or down", "up"),
}
SLIDING = {"stride": INTS, "pad": INTS, "dilation": INTS}
LABELLED = AXIS | {"ignore": Attribute("a whole number or null", None)}

PRIMITIVE_TABLE: Mapping[str, PrimitiveSchema] = {
    "conv_packed": PrimitiveSchema(
        "x [N,C,*S], w [O,C/groups,*K], b [O] if `bias`, r [N,O,*T] if `add`: y = activation(conv(x, w) + b + r)",
        (2, 4),
        {
            "stride": INTS,
            "pad": INTS,
            "dilation": INTS,
            "groups": Attribute("a whole number", 1),
            "bias": FLAG,
            "add": FLAG,
            **FUSED_ACTIVATION,
        },
    ),
    "linear_packed": PrimitiveSchema(
        "x, flattened from `axis` to [M,K]; w [N,K], or [K,N] if `transpose`; b [N] if `bias`: y = activation(x w + b)",
        (2, 3),
        {**AXIS, "transpose": FLAG, "bias": FLAG, **FUSED_ACTIVATION},
    ),
    "max_pool": PrimitiveSchema(
        "x [N,C,*S]; the second result, if `mask`, is the row-major index of each maximum in its plane",
        (1, 1),
        {**WINDOW, "mask": FLAG},
        (1, 2),
        indices=(-2,),
    ),
    "avg_pool": PrimitiveSchema(
        "x [N,C,*S]; the divisor is the window clipped to the padded image, or to the image if `include_pad` is false",
        (1, 1),
        {**WINDOW, "include_pad": Attribute("a truth value", True)},
    ),
    "expr": PrimitiveSchema(
        "tensors of the result's shape or, with an axis in `axes`, of the shape of the result's dims from this axis on",
        (0, MANY),
        {"code": Attribute("lines of [function, argument, ...]"), "axes": Attribute("a list of axes or nulls")},
        converts=True,
    ),
    "lrn": PrimitiveSchema(
        "x [N,C,*S]",
        (1, 1),
        {
            "size": Attribute("a whole number", 5),
            "alpha": number_or(1.0),
            "beta": number_or(0.75),
            "k": number_or(1.0),
            "region": Attribute("across or within", "across"),
        },
    ),
    "interp": PrimitiveSchema(
        "x [N,C,*S]: trimmed by `trim` (before, after) on each axis, then resized linearly with aligned corners to "
        "`sizes`, or size * `times`, or (size - 1) // `shrink` * `zoom` + 1",
        (1, 1),
        {
            "sizes": Attribute("a list of whole numbers", ()),
            "shrink": Attribute("a whole number", 1),
            "zoom": Attribute("a whole number", 1),
            "times": Attribute("a whole number", 1),
            "trim": Attribute("a list of whole numbers", (0,)),
        },
    ),
    "resize": PrimitiveSchema(
        "x, and tensors whose sizes count in place of x's: `axes` axes from `axis` on, resized to `sizes`, by `scale` "
        "or to a `multiple`; if `enlarge`, only where that is more",
        (1, MANY),
        {
            "how": Attribute("a text", "linear"),
            "align": Attribute("a text", "corners"),
            "axis": Attribute("a whole number", 2),
            "axes": Attribute("a whole number", 2),
            "sizes": Attribute("a list of whole numbers", ()),
            "scale": Attribute("a list of numbers", ()),
            "multiple": Attribute("a whole number", 1),
            "enlarge": FLAG,
        },
    ),
    "upsample": PrimitiveSchema(
        "x [N,C,*S]: each element repeated `scale` times along each image axis", (1, 1), {"scale": INTS}
    ),
    "unpool": PrimitiveSchema(
        "x [N,C,*S]; a row-major index in the result's plane for each element, of equal ones the last counts; zeros "
        "elsewhere; the plane is `sizes`, or S * `scale` - `cut`",
        (2, 2),
        {
            "sizes": Attribute("a list of whole numbers", ()),
            "scale": Attribute("a list of whole numbers", (2,)),
            "cut": Attribute("a list of whole numbers", (0,)),
        },
        indices=(1,),
    ),
    "correlation": PrimitiveSchema(
        "two images [N,C,H,W]: for each pair of displacements, multiples of `step` up to `displacement`, the mean "
        "product or absolute difference of windows over all channels",
        (2, 2),
        {
            "displacement": Attribute("a whole number"),
            **{name: Attribute("a whole number", 1) for name in ("kernel", "stride", "step")},
            "pad": Attribute("a whole number", 0),
            "difference": FLAG,
        },
    ),
    "flow_warp": PrimitiveSchema(
        "an image [N,C,H,W], a flow [N,2,H,W]: the image where the flow points, bilinear; `fill`, zero or nan, outside",
        (2, 2),
        {"fill": Attribute("a text", "zero")},
    ),
    "resample": PrimitiveSchema(
        "x [N,C,H,W], optionally an image whose sizes are used in place of `sizes`: x resized to them by `filter`: the "
        "nearest pixel, or a linear or cubic mean of those around",
        (1, 2),
        {
            "sizes": Attribute("a list of whole numbers", ()),
            "filter": Attribute("a text", "linear"),
            "antialias": Attribute("a truth value", True),
        },
    ),
    "distance": PrimitiveSchema(
        "x, flattened from `axis` to [M,K]; centres [N,K]: the sums of absolute or, for `norm` 2, squared differences",
        (2, 2),
        {**AXIS, "norm": Attribute("a whole number", 2)},
    ),
    "softmax": PrimitiveSchema("x", (1, 1), AXIS),
    "deconv_packed": PrimitiveSchema(
        "x [N,C,*S], w [C,O/groups,*K], b [O] if `bias`: y = activation(transposed convolution of x with w, + b)",
        (2, 3),
        {**SLIDING, "groups": Attribute("a whole number", 1), "bias": FLAG, **FUSED_ACTIVATION},
    ),
    "im2col": PrimitiveSchema(
        "x [N,C,*S]; the result is [N,C*K,*T], with the windows as channels, and zero channels up to `channels`",
        (1, 1),
        {"kernel": INTS, **SLIDING, "channels": Attribute("a whole number", 0)},
    ),
    "stochastic_pool": PrimitiveSchema("x [N,C,*S]: the mean of each window, weighted by its elements", (1, 1), WINDOW),
    "pyramid_pool": PrimitiveSchema(
        "x [N,C,*S]: pooled to 1, 2^axes, 4^axes, ... windows, for `height` levels: [N,C*windows]",
        (1, 1),
        {"height": Attribute("a whole number"), "mode": Attribute("max or avg", "max")},
    ),
    "l2_normalize": PrimitiveSchema(
        "x [N,C,...]: divided by sqrt(sum of squares + eps), over the channels of each pixel or, if `across`, over all",
        (1, 1),
        {"across": Attribute("a truth value", True), "eps": number_or(1e-10)},
    ),
    "lstm": PrimitiveSchema(
        "gates [T,N,4D] in the order input, forget, output, candidate; cont [T,N]; w [4D,D]; optionally the initial h "
        "and c [1,N,D]; results: every h [T,N,D] and, if `state`, the last h and c [1,N,D]",
        (3, 5),
        {"state": FLAG},
        (1, 3),
    ),
    "rnn": PrimitiveSchema(
        "x [T,N,D]; cont [T,N]; w [D,D]; optionally the initial h [1,N,D]; results: every h = tanh(x + w cont h) "
        "[T,N,D] and, if `state`, the last h [1,N,D]",
        (3, 4),
        {"state": FLAG},
        (1, 2),
    ),
    "lstm_unit": PrimitiveSchema(
        "c [1,N,D], gates [1,N,4D], cont [1,N]; results: the next c and h", (3, 3), {}, (2, 2)
    ),
    "reduce": PrimitiveSchema(
        "x: reduced over the axes from `axis` on, times `coeff`",
        (1, 1),
        {"axis": Attribute("a whole number", 0), "how": Attribute("sum, asum, sumsq or mean"), "coeff": number_or(1.0)},
    ),
    "argmax": PrimitiveSchema(
        "x: the indices along `axis` of its `top` largest elements, of equal ones the last; the second result, if "
        "`numbers`, is the elements",
        (1, 1),
        {**AXIS, "top": Attribute("a whole number", 1), "numbers": FLAG},
        (1, 2),
    ),
    "standardize": PrimitiveSchema(
        "x: minus the mean and, if `scaled`, divided by the standard deviation, for each index of the axes `per`",
        (1, 1),
        {
            "per": INTS,
            "eps": number_or(0.0),
            "eps_in": Attribute("deviation or variance"),
            "scaled": Attribute("a truth value", True),
        },
    ),
    "cross_entropy": PrimitiveSchema(
        "p, with classes along `axis`; a label for each position; optionally gains [classes,classes]: -log p of the "
        "label's class",
        (2, 3),
        {**LABELLED, "floor": number_or(0.0)},
    ),
    "hinge": PrimitiveSchema(
        "x [N,...]; a label for each row: max(0, 1 - x) for the label's class, max(0, 1 + x) for others", (2, 2)
    ),
    "total_loss": PrimitiveSchema(
        "losses; optionally a label for each: the sum of those whose label is not `ignore`, normalized `by`",
        (1, 2),
        {**LABELLED, "by": Attribute("all, valid, batch or none"), "scale": number_or(1.0)},
    ),
    "accuracy": PrimitiveSchema(
        "x, with classes along `axis`; a label for each position; the second result, if `classes`, is per class",
        (2, 2),
        {**LABELLED, "top": Attribute("a whole number", 1), "classes": FLAG},
        (1, 2),
    ),
    "launch": PrimitiveSchema(
        "the values that `arguments` refers to: runs the artifact's cubin for `kernel` on a GPU, in blocks of "
        "32 x `warps` threads; one that `overlaps` may start before the launch before it has ended, for which it waits "
        "itself; for an architecture in `variants`, its attributes replace these",
        (0, MANY),
        {**LAUNCH_ATTRIBUTES, "variants": Attribute("attributes by architecture", {})},
        (1, MANY),
    ),
    "view": PrimitiveSchema(
        "values that the results alias, computed by other steps: nothing runs",
        (0, MANY),
        {},
        (1, MANY),
    ),
    "user": PrimitiveSchema(
        "any tensors: calls the function passed to load(layers=...) with the attributes and the operands",
        (0, MANY),
        {"layer": Attribute("a text"), "attributes": Attribute("anything", None)},
        (1, MANY),
    ),
    **MOVEMENT_PRIMITIVES,
    **DETECTION_PRIMITIVES,
}
