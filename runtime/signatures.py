"""The closed table of what a plan may ask for: every primitive, its attributes, operands and results."""

from __future__ import annotations

from collections.abc import Mapping

from .signature import ACTIVATIONS as ACTIVATIONS
from .signature import FUNCTIONS as FUNCTIONS
from .signature import LAUNCH, MANY, Attribute, Signature

flag, ints = Attribute("a truth value", False), Attribute("a list of whole numbers")


def number_or(default: float) -> Attribute:
    return Attribute("a number", default)


FUSED = {
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
SLIDING = {"stride": ints, "pad": ints, "dilation": ints}
AXIS = {"axis": Attribute("a whole number", 1)}
LABELLED = AXIS | {"ignore": Attribute("a whole number or null", None)}

PRIMITIVES: Mapping[str, Signature] = {
    "conv_packed": Signature(
        "x [N,C,*S], w [O,C/groups,*K], b [O] if `bias`, r [N,O,*T] if `add`: y = activation(conv(x, w) + b + r)",
        (2, 4),
        {
            "stride": ints,
            "pad": ints,
            "dilation": ints,
            "groups": Attribute("a whole number", 1),
            "bias": flag,
            "add": flag,
            **FUSED,
        },
    ),
    "linear_packed": Signature(
        "x, flattened from `axis` to [M,K]; w [N,K], or [K,N] if `transpose`; b [N] if `bias`: y = activation(x w + b)",
        (2, 3),
        {**AXIS, "transpose": flag, "bias": flag, **FUSED},
    ),
    "max_pool": Signature(
        "x [N,C,*S]; a second result is the mask: where in its plane each maximum was",
        (1, 1),
        {**WINDOW, "mask": flag},
        (1, 2),
    ),
    "avg_pool": Signature(
        "x [N,C,*S]; the divisor is the window clipped to the padded image, or to the image if `include_pad` is false",
        (1, 1),
        {**WINDOW, "include_pad": Attribute("a truth value", True)},
    ),
    "expr": Signature(
        "tensors of the result's shape, or with an axis in `axes`: dims that line up with the result's from there on",
        (0, MANY),
        {"code": Attribute("lines of [function, argument, ...]"), "axes": Attribute("a list of axes or nulls")},
    ),
    "lrn": Signature(
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
    "interp": Signature(
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
    "upsample": Signature("x [N,C,*S]: each number `scale` times along each image axis", (1, 1), {"scale": ints}),
    "unpool": Signature(
        "x [N,C,*S]; where in its plane each number goes, the later one if two go to one place: zeros elsewhere; the "
        "plane is `sizes`, or S * `scale` - `cut`",
        (2, 2),
        {
            "sizes": Attribute("a list of whole numbers", ()),
            "scale": Attribute("a list of whole numbers", (2,)),
            "cut": Attribute("a list of whole numbers", (0,)),
        },
    ),
    "softmax": Signature("x", (1, 1), AXIS),
    "concat": Signature(
        "tensors that are equal but for `axis`; one that already lies in its place is not copied", (1, MANY), AXIS
    ),
    "slice": Signature(
        "x, cut along `axis` at `points`, or without them into equal parts, as many as there are results",
        (1, 1),
        {**AXIS, "points": Attribute("a list of whole numbers or null", None), "parts": Attribute("a whole number", 0)},
        (1, MANY),
    ),
    "reshape": Signature("x; the result has its elements in Caffe's order", (1, 1)),
    "relayout": Signature("x; the result differs in layout only", (1, 1), {"to": Attribute("nchw or nhwc", "nhwc")}),
    "copy": Signature("x", (1, 1)),
    "deconv_packed": Signature(
        "x [N,C,*S], w [C,O/groups,*K], b [O] if `bias`: y = activation(the sum of the windows w that x paints, + b)",
        (2, 3),
        {**SLIDING, "groups": Attribute("a whole number", 1), "bias": flag, **FUSED},
    ),
    "im2col": Signature(
        "x [N,C,*S]; the result is [N,C*K,*T], a window's numbers in channels", (1, 1), {"kernel": ints, **SLIDING}
    ),
    "stochastic_pool": Signature("x [N,C,*S]: the mean of each window, weighted by its own numbers", (1, 1), WINDOW),
    "pyramid_pool": Signature(
        "x [N,C,*S], pooled to 1, 2^axes, 4^axes, ... windows, `height` levels of them: [N,C*windows]",
        (1, 1),
        {"height": Attribute("a whole number"), "mode": Attribute("max or avg", "max")},
    ),
    "l2_normalize": Signature(
        "x [N,C,...], by the root of its squares' sum + eps, over the channels at each place or, `across`, over all",
        (1, 1),
        {"across": Attribute("a truth value", True), "eps": number_or(1e-10)},
    ),
    "transpose": Signature("x; axis i of the result is axis order[i] of x", (1, 1), {"order": ints}),
    "crop": Signature(
        "x; perhaps a tensor that lends its sizes in place of `sizes`: that much of x along the axes from `axis` on",
        (1, 2),
        {
            "axis": Attribute("a whole number", 2),
            "offset": Attribute("a list of whole numbers", (0,)),
            "sizes": Attribute("a list of whole numbers", ()),
        },
    ),
    "tile": Signature("x, `tiles` times over along `axis`", (1, 1), {"tiles": Attribute("a whole number"), **AXIS}),
    "gather": Signature(
        "a table [R,...], an index of any shape: each number, cut to a whole one, becomes that row", (2, 2)
    ),
    "filter": Signature(
        "tensors of R rows, and a selector [R,1,...]: each with the rows where the selector is not 0",
        (2, MANY),
        {},
        (1, MANY),
    ),
    "lstm": Signature(
        "gates [T,N,4D] in the order input, forget, output, candidate; cont [T,N]; w [4D,D]; the first h, c [1,N,D] or "
        "none; results: every h [T,N,D] and, with `state`, the last h and c [1,N,D]",
        (3, 5),
        {"state": flag},
        (1, 3),
    ),
    "rnn": Signature(
        "x [T,N,D]; cont [T,N]; w [D,D]; the first h [1,N,D] or none; results: every h = tanh(x + w cont h) [T,N,D] "
        "and, with `state`, the last [1,N,D]",
        (3, 4),
        {"state": flag},
        (1, 2),
    ),
    "lstm_unit": Signature("c [1,N,D], gates [1,N,4D], cont [1,N]; results: the next c and h", (3, 3), {}, (2, 2)),
    "detection_output": Signature(
        "loc [N,4P] or [N,4P*classes], conf [N,P*classes], priors with variances [1,2,4P]; the result is [1,1,found,7]",
        (3, 3),
        {
            "classes": Attribute("a whole number"),
            "share_location": Attribute("a truth value", True),
            "background": Attribute("a whole number", 0),
            "code": Attribute("a text", "corner"),
            "variance_in_target": flag,
            "nms_threshold": number_or(0.3),
            "top_k": Attribute("a whole number", -1),
            "eta": number_or(1.0),
            "keep_top_k": Attribute("a whole number", -1),
            "confidence": Attribute("a number"),
        },
    ),
    "reduce": Signature(
        "x, of which all from `axis` on becomes one number, times `coeff`",
        (1, 1),
        {"axis": Attribute("a whole number", 0), "how": Attribute("sum, asum, sumsq or mean"), "coeff": number_or(1.0)},
    ),
    "argmax": Signature(
        "x: where along `axis` its `top` largest numbers stand, of equals the last; a second result is the numbers",
        (1, 1),
        {**AXIS, "top": Attribute("a whole number", 1), "numbers": flag},
        (1, 2),
    ),
    "standardize": Signature(
        "x, less the mean and, if `scaled`, by the deviation of what lies at each place along the dimensions `per`",
        (1, 1),
        {
            "per": ints,
            "eps": number_or(0.0),
            "eps_in": Attribute("deviation or variance"),
            "scaled": Attribute("a truth value", True),
        },
    ),
    "cross_entropy": Signature(
        "p, classes along `axis`; a label for each place beside it; perhaps gains, classes squared: "
        "-log p at the label",
        (2, 3),
        {**LABELLED, "floor": number_or(0.0)},
    ),
    "hinge": Signature("x [N,...]; a label for each row: max(0, 1 - x) at the label, max(0, 1 + x) beside it", (2, 2)),
    "total_loss": Signature(
        "losses; perhaps a label for each: the sum of those whose label is not `ignore`, divided as `by` says",
        (1, 2),
        {**LABELLED, "by": Attribute("all, valid, batch or none"), "scale": number_or(1.0)},
    ),
    "accuracy": Signature(
        "x, classes along `axis`; a label for each place beside it; the second result, if `classes`, is for each class",
        (2, 2),
        {**LABELLED, "top": Attribute("a whole number", 1), "classes": flag},
        (1, 2),
    ),
    "launch": Signature(
        "the values that `arguments` names by number: the artifact's cubin for `kernel` runs on a GPU, in blocks of "
        "32 x `warps` threads; on an architecture in `variants` the attributes given there stand for these",
        (0, MANY),
        {**LAUNCH, "variants": Attribute("attributes by architecture", {})},
        (1, MANY),
    ),
    "view": Signature(
        "values whose bytes the results are, written by other steps: nothing runs, only a name is given",
        (0, MANY),
        {},
        (1, MANY),
    ),
    "user": Signature(
        "anything; the caller's function, given to load(layers=...), gets the attributes and the operands",
        (0, MANY),
        {"layer": Attribute("a text"), "attributes": Attribute("anything", None)},
        (1, MANY),
    ),
}
