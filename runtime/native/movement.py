"""Relayouts as C, and steps that have nothing to do because their result is in place."""

from __future__ import annotations

from ..arena import strides_of
from ..plan import Slot
from .image import first_float
from .site import NAME, NotNative, Site, WrittenStep
from .split import split


def write_nothing(site: Site) -> WrittenStep:
    """The step `alias`: its results are in place."""
    return WrittenStep("nothing", "in place already", "", 0)


def write_relayout(site: Site) -> WrittenStep:
    """The step `relayout`: the same images in another layout, read row by row."""
    name, result = site.step.operands[0], site.step.results[0]
    x, y = site.slot(name), site.slot(result)
    for slot in (x, y):
        if slot.dtype != "f32" or not slot.is_static or len(slot.dims) != 4:
            raise NotNative("it moves no f32 images of two axes")
    if x.dims != y.dims:
        raise NotNative("the result has another shape")
    n, c, h, w = y.bounds
    (xn, xc, xh, xw), xat = float_strides(x)
    (yn, yc, yh, yw), yat = float_strides(y)
    rows = n * h
    per = split(site.machine, rows, n * c * h * w / 1000)
    image, row = (f"i / {h}", f"i % {h}") if n > 1 else ("0", "i")
    text = f"""static void {NAME}(const float *const *in, float *out, int task)
{{
    for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++) {{
        const float *x = in[0] + {image} * {xn}L + {row} * {xh}L;
        float *y = out + {image} * {yn}L + {row} * {yh}L;
        for (int j = 0; j < {w}; j++)
            for (int c = 0; c < {c}; c++) y[j * {yw}L + c * {yc}L] = x[j * {xw}L + c * {xc}L];
    }}
}}
"""
    doc = f"to {y.layout}: [{n},{h},{w},{c}]"
    return WrittenStep("relayout", doc, text, -(-rows // per), (site.place(name, xat, exact=True),), yat)


def float_strides(slot: Slot) -> tuple[tuple[int, ...], int]:
    """The strides of a value in Caffe's axis order, and where its first number is, in floats."""
    strides = strides_of(slot.stored_shape, slot.layout)
    first = slot.channels[0] if slot.channels else 0
    before = slot.halo[0] if slot.halo else 0
    return strides, first_float(slot) + first * strides[1] + before * sum(strides[2:])
