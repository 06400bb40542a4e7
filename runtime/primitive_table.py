"""The closed table of what a plan may ask for: every primitive, its attributes, operands and results."""

from __future__ import annotations

from collections.abc import Mapping

from .primitive_schema import ACTIVATIONS as ACTIVATIONS
from .primitive_schema import EXPR_FUNCTIONS as EXPR_FUNCTIONS
from .primitive_schema import LAUNCH_ATTRIBUTES, MANY, Attribute, PrimitiveSchema

FLAG, INTS = Attribute("a truth value", False), Attribute("a list of whole numbers")


def number_or(default: float) -> Attribute:
    return Attribute("a number", default)


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
AXIS = {"axis": Attribute("a whole number", 1)}
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
        "x [N,C,*S]; a second result is the mask: where in its plane each maximum was",
        (1, 1),
        {**WINDOW, "mask": FLAG},
        (1, 2),
    ),
    "avg_pool": PrimitiveSchema(
        "x [N,C,*S]; the divisor is the window clipped to the padded image, or to the image if `include_pad` is false",
        (1, 1),
        {**WINDOW, "include_pad": Attribute("a truth value", True)},
    ),
    "expr": PrimitiveSchema(
        "tensors of the result's shape, or with an axis in `axes`: dims that line up with the result's from there on",
        (0, MANY),
        {"code": Attribute("lines of [function, argument, ...]"), "axes": Attribute("a list of axes or nulls")},
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
        "x [N,C,*S], less `trim` (before, after) numbers of each image axis: at another size by straight lines, "
        "corners on corners; `sizes`, or size * `times`, or (size - 1) // `shrink` * `zoom` + 1",
        (1, 1),
        {
            "sizes": Attribute("a list of whole numbers", ()),
            "shrink": Attribute("a whole number", 1),
            "zoom": Attribute("a whole number", 1),
            "times": Attribute("a whole number", 1),
            "trim": Attribute("a list of whole numbers", (0,)),
        },
    ),
    "upsample": PrimitiveSchema("x [N,C,*S]: each number `scale` times along each image axis", (1, 1), {"scale": INTS}),
    "unpool": PrimitiveSchema(
        "x [N,C,*S]; where in its plane each number goes, the later one if two go to one place: zeros elsewhere; the "
        "plane is `sizes`, or S * `scale` - `cut`",
        (2, 2),
        {
            "sizes": Attribute("a list of whole numbers", ()),
            "scale": Attribute("a list of whole numbers", (2,)),
            "cut": Attribute("a list of whole numbers", (0,)),
        },
    ),
    "roi_align": PrimitiveSchema(
        "x [N,C,H,W], boxes [R,5] of image, xmin, ymin, xmax, ymax, times `scale`; the result is [R,C,height,width]",
        (2, 2),
        {"height": Attribute("a whole number"), "width": Attribute("a whole number"), "scale": number_or(1.0)},
    ),
    "softmax": PrimitiveSchema("x", (1, 1), AXIS),
    "concat": PrimitiveSchema(
        "tensors that are equal but for `axis`; one that already lies in its place is not copied", (1, MANY), AXIS
    ),
    "slice": PrimitiveSchema(
        "x, cut along `axis` at `points`, or without them into equal parts, as many as there are results",
        (1, 1),
        {**AXIS, "points": Attribute("a list of whole numbers or null", None), "parts": Attribute("a whole number", 0)},
        (1, MANY),
    ),
    "reshape": PrimitiveSchema("x; the result has its elements in Caffe's order", (1, 1)),
    "relayout": PrimitiveSchema(
        "x; the result differs in layout only", (1, 1), {"to": Attribute("nchw or nhwc", "nhwc")}
    ),
    "copy": PrimitiveSchema("x", (1, 1)),
    "deconv_packed": PrimitiveSchema(
        "x [N,C,*S], w [C,O/groups,*K], b [O] if `bias`: y = activation(the sum of the windows w that x paints, + b)",
        (2, 3),
        {**SLIDING, "groups": Attribute("a whole number", 1), "bias": FLAG, **FUSED_ACTIVATION},
    ),
    "im2col": PrimitiveSchema(
        "x [N,C,*S]; the result is [N,C*K,*T], a window's numbers in channels", (1, 1), {"kernel": INTS, **SLIDING}
    ),
    "stochastic_pool": PrimitiveSchema(
        "x [N,C,*S]: the mean of each window, weighted by its own numbers", (1, 1), WINDOW
    ),
    "pyramid_pool": PrimitiveSchema(
        "x [N,C,*S], pooled to 1, 2^axes, 4^axes, ... windows, `height` levels of them: [N,C*windows]",
        (1, 1),
        {"height": Attribute("a whole number"), "mode": Attribute("max or avg", "max")},
    ),
    "l2_normalize": PrimitiveSchema(
        "x [N,C,...], by the root of its squares' sum + eps, over the channels at each place or, `across`, over all",
        (1, 1),
        {"across": Attribute("a truth value", True), "eps": number_or(1e-10)},
    ),
    "transpose": PrimitiveSchema("x; axis i of the result is axis order[i] of x", (1, 1), {"order": INTS}),
    "crop": PrimitiveSchema(
        "x; perhaps a tensor that lends its sizes in place of `sizes`: that much of x along the axes from `axis` on",
        (1, 2),
        {
            "axis": Attribute("a whole number", 2),
            "offset": Attribute("a list of whole numbers", (0,)),
            "sizes": Attribute("a list of whole numbers", ()),
        },
    ),
    "tile": PrimitiveSchema(
        "x, `tiles` times over along `axis`", (1, 1), {"tiles": Attribute("a whole number"), **AXIS}
    ),
    "gather": PrimitiveSchema(
        "a table [R,...], an index of any shape: each number, cut to a whole one, becomes that row", (2, 2)
    ),
    "filter": PrimitiveSchema(
        "tensors of R rows, and a selector [R,1,...]: each with the rows where the selector is not 0",
        (2, MANY),
        {},
        (1, MANY),
    ),
    "lstm": PrimitiveSchema(
        "gates [T,N,4D] in the order input, forget, output, candidate; cont [T,N]; w [4D,D]; the first h, c [1,N,D] or "
        "none; results: every h [T,N,D] and, with `state`, the last h and c [1,N,D]",
        (3, 5),
        {"state": FLAG},
        (1, 3),
    ),
    "rnn": PrimitiveSchema(
        "x [T,N,D]; cont [T,N]; w [D,D]; the first h [1,N,D] or none; results: every h = tanh(x + w cont h) [T,N,D] "
        "and, with `state`, the last [1,N,D]",
        (3, 4),
        {"state": FLAG},
        (1, 2),
    ),
    "lstm_unit": PrimitiveSchema(
        "c [1,N,D], gates [1,N,4D], cont [1,N]; results: the next c and h", (3, 3), {}, (2, 2)
    ),
    "detection_output": PrimitiveSchema(
        "loc [N,4P] or [N,4P*classes], conf [N,P*classes], priors with variances [1,2,4P]; the result is [1,1,found,7]",
        (3, 3),
        {
            "classes": Attribute("a whole number"),
            "share_location": Attribute("a truth value", True),
            "background": Attribute("a whole number", 0),
            "code": Attribute("a text", "corner"),
            "variance_in_target": FLAG,
            "nms_threshold": number_or(0.3),
            "top_k": Attribute("a whole number", -1),
            "eta": number_or(1.0),
            "keep_top_k": Attribute("a whole number", -1),
            "confidence": Attribute("a number"),
        },
    ),
    "reduce": PrimitiveSchema(
        "x, of which all from `axis` on becomes one number, times `coeff`",
        (1, 1),
        {"axis": Attribute("a whole number", 0), "how": Attribute("sum, asum, sumsq or mean"), "coeff": number_or(1.0)},
    ),
    "argmax": PrimitiveSchema(
        "x: where along `axis` its `top` largest numbers stand, of equals the last; a second result is the numbers",
        (1, 1),
        {**AXIS, "top": Attribute("a whole number", 1), "numbers": FLAG},
        (1, 2),
    ),
    "standardize": PrimitiveSchema(
        "x, less the mean and, if `scaled`, by the deviation of what lies at each place along the dimensions `per`",
        (1, 1),
        {
            "per": INTS,
            "eps": number_or(0.0),
            "eps_in": Attribute("deviation or variance"),
            "scaled": Attribute("a truth value", True),
        },
    ),
    "cross_entropy": PrimitiveSchema(
        "p, classes along `axis`; a label for each place beside it; perhaps gains, classes squared: "
        "-log p at the label",
        (2, 3),
        {**LABELLED, "floor": number_or(0.0)},
    ),
    "hinge": PrimitiveSchema(
        "x [N,...]; a label for each row: max(0, 1 - x) at the label, max(0, 1 + x) beside it", (2, 2)
    ),
    "total_loss": PrimitiveSchema(
        "losses; perhaps a label for each: the sum of those whose label is not `ignore`, divided as `by` says",
        (1, 2),
        {**LABELLED, "by": Attribute("all, valid, batch or none"), "scale": number_or(1.0)},
    ),
    "accuracy": PrimitiveSchema(
        "x, classes along `axis`; a label for each place beside it; the second result, if `classes`, is for each class",
        (2, 2),
        {**LABELLED, "top": Attribute("a whole number", 1), "classes": FLAG},
        (1, 2),
    ),
    "launch": PrimitiveSchema(
        "the values that `arguments` names by number: the artifact's cubin for `kernel` runs on a GPU, in blocks of "
        "32 x `warps` threads; on an architecture in `variants` the attributes given there stand for these",
        (0, MANY),
        {**LAUNCH_ATTRIBUTES, "variants": Attribute("attributes by architecture", {})},
        (1, MANY),
    ),
    "view": PrimitiveSchema(
        "values whose bytes the results are, written by other steps: nothing runs, only a name is given",
        (0, MANY),
        {},
        (1, MANY),
    ),
    "user": PrimitiveSchema(
        "anything; the caller's function, given to load(layers=...), gets the attributes and the operands",
        (0, MANY),
        {"layer": Attribute("a text"), "attributes": Attribute("anything", None)},
        (1, MANY),
    ),
}
