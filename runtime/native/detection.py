"""The detection output of single-shot detectors as C: boxes are decoded, and non-maximum suppression keeps some.

It is one task: each decision depends on the boxes that are kept already. How many boxes there are is a second result.
"""

from __future__ import annotations

from math import prod

from ..extents import extent_of, is_dense
from .epilogue import format_float
from .image import first_float
from .site import ARENA, NAME, NotNative, Place, Site, WrittenStep

CODES = {"corner": "CORNER", "center_size": "CENTER_SIZE", "corner_size": "CORNER_SIZE"}
OPERANDS = ("loc", "conf", "prior", "scores2", "moved")
CLASS_FLOATS = 5  # of struct found_class
BOX_NUMBERS = 6
MOST_SCRATCH = 1 << 24  # floats that a thread may need: more candidates are the host's


def write_detection_output(site: Site) -> WrittenStep:
    """The step `detection_output`, by templates/detection.h. Its second result is the number of rows, an i32.

    NotNative if sizes do not belong together.
    """
    p, (rows, count) = site.payload, site.step.results
    shapes = [site.plan.weights[n].shape if n in site.plan.weights else site.slot(n).bounds for n in site.step.operands]
    images, classes, priors = shapes[0][0] if shapes[0] else 0, p["classes"], prod(shapes[2]) // 8
    each = priors if p["top_k"] < 0 else min(p["top_k"], priors)  # candidates of a class
    require_sizes(site, shapes, images, priors, each)
    background = p["background"] if 0 <= p["background"] < classes else -1
    keep = -1 if p["keep_top_k"] < 0 else min(p["keep_top_k"], each * classes)
    lines = [
        f".images = {images}, .priors = {priors}, .classes = {classes}, .background = {background},",
        f".shared = {int(p['share_location'])}, .code = {CODES[p['code']]}, "
        f".scaled = {int(not p['variance_in_target'])}, .most = {each}, .keep = {keep},",
        f".confidence = {format_float(p['confidence'])}, .threshold = {format_float(p['nms_threshold'])}, "
        f".eta = {format_float(p['eta'])}, .objectness = {format_float(p['objectness'])},",
    ]
    given = ", ".join(f".{name} = in[{k}]" for k, name in enumerate(OPERANDS[: len(shapes)]))
    settings = "\n".join(f"        {line}" for line in lines)
    text = f"""static void {NAME}(const float *const *in, float *out, int task)
{{
    (void)task;
    static const struct detector d = {{
{settings}
    }};
    detect(&d, (struct predictions){{{given}}}, thread_scratch(), out, (int32_t *)in[{len(shapes)}]);
}}
"""
    room = -(-each // site.machine.vector) * site.machine.vector
    scratch = classes * (CLASS_FLOATS + priors + BOX_NUMBERS * room)
    if scratch > MOST_SCRATCH:
        raise NotNative(f"{priors} priors of {classes} classes need {scratch * 4 >> 20} MiB for each thread")
    places = (*(place_numbers(site, name) for name in site.step.operands), Place(ARENA, first_float(site.slot(count))))
    doc = f"boxes of {classes} classes at {priors} priors"
    return WrittenStep("detection", doc, text, 1, places, first_float(site.slot(rows)), scratch=scratch)


def require_sizes(site: Site, shapes: list[tuple[int, ...]], images: int, priors: int, most: int) -> None:
    """NotNative unless operands and results belong together; `most` are the candidates of a class."""
    p, (rows, count) = site.payload, [site.slot(name) for name in site.step.results]
    classes = p["classes"]
    if p["code"] not in CODES or not (0 < classes < 1 << 20) or not (0 < images * priors < 1 << 24):
        raise NotNative("there is nothing to detect")
    boxes = 1 if p["share_location"] else classes
    each = (4 * boxes * images, classes * images, 8, 2 * images, 4 * images)
    if [prod(shape) for shape in shapes] != [n * priors for n in each[: len(shapes)]]:
        raise NotNative(f"locations, scores and boxes of {priors} priors do not belong together")
    if len(shapes) > 4 and boxes > 1:
        raise NotNative("first locations of the priors are shared")
    found = most * (classes - (0 <= p["background"] < classes))
    found = found if p["keep_top_k"] < 0 else min(p["keep_top_k"], found)
    fits = len(rows.dims) == 4 and (*rows.dims[:2], rows.dims[3]) == (1, 1, 7) and isinstance(rows.dims[2], str)
    fits = fits and rows.dtype == "f32" and rows.layout == "nchw" and rows.channels is None
    if not fits or rows.bounds[2] < images * max(found, 1):
        raise NotNative(f"{images * max(found, 1)} rows are more than the result has")
    if (count.dtype, count.dims) != ("i32", (1,)):
        raise NotNative("the number of rows is an i32")
    site.require_apart()
    if extent_of(rows).overlaps(extent_of(count)):
        raise NotNative("a result would be over what is read")


def place_numbers(site: Site, name: str) -> Place:
    """Where an operand's numbers are, in Caffe's order. NotNative if they are not contiguous, or not f32."""
    if name in site.plan.weights:
        return site.weight_place(name)
    slot = site.slot(name)
    part = slot.channels is None or is_dense(slot)
    if slot.dtype != "f32" or not slot.is_static or slot.halo or not part or slot.layout != "nchw":
        raise NotNative(f"the numbers of {name} are not contiguous in Caffe's order")
    return site.place(name, extent_of(slot).start // 4 if slot.at is not None else 0, exact=True)
