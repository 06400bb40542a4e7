"""Softmax and LRN over the channels of each pixel as C."""

from __future__ import annotations

from .epilogue import format_float
from .site import NAME, NotNative, Site, WrittenStep
from .split import split


def write_softmax(site: Site) -> WrittenStep:
    """The step `softmax` along the channels, as Caffe's does it: exp(x - largest) / sum (softmax_layer.cpp)."""
    x, y = site.image(site.step.operands[0]), site.image(site.step.results[0])
    dims = site.slot(site.step.operands[0]).dims
    if len(dims) < 2 or site.payload["axis"] % len(dims) != 1:
        raise NotNative("it is along another axis than the channels")
    require_same_shape(site)
    c, pixels = y.channels, y.height * y.width
    per = split(site.machine, pixels * y.images, y.pixels * c * 0.006)
    text = f"""static void {NAME}(const float *const *in, float *out, int task)
{{
    for (int i = task * {per}; i < (task + 1) * {per} && i < {y.pixels}; i++) {{
        int n = i / {pixels}, row = i % {pixels} / {y.width}, column = i % {y.width};
        const float *x = in[0] + n * {x.image}L + row * {x.row}L + column * {x.col}L;
        float *y = out + n * {y.image}L + row * {y.row}L + column * {y.col}L, top = x[0], sum = 0;
        for (int c = 1; c < {c}; c++) top = x[c] > top || x[c] != x[c] ? x[c] : top;
        for (int c = 0; c < {c}; c++) sum += y[c] = expf(x[c] - top);
        for (int c = 0; c < {c}; c++) y[c] /= sum;
    }}
}}
"""
    doc = f"softmax over {c} channels: {x.step_shape()}"
    place = site.place(site.step.operands[0], x.at, exact=True)
    return WrittenStep("softmax", doc, text, -(-y.pixels // per), (place,), y.at)


def write_lrn(site: Site) -> WrittenStep:
    """The step `lrn` across channels: x · (k + alpha / size · sum of x² over `size` channels)^-beta (lrn_layer.cpp)."""
    if site.payload["region"] != "across":
        raise NotNative("it is within channels")
    x, y = site.image(site.step.operands[0]), site.image(site.step.results[0])
    require_same_shape(site)
    c, size, half = y.channels, site.payload["size"], site.payload["size"] // 2
    alpha, beta, k = (site.payload[f] for f in ("alpha", "beta", "k"))
    power = "1 / (sqrtf(s) * sqrtf(sqrtf(s)))" if beta == 0.75 else f"powf(s, {format_float(-beta)})"
    rows = y.images * y.height
    per = split(site.machine, rows, y.pixels * c * 0.002)
    image, row = (f"i / {y.height}", f"i % {y.height}") if y.images > 1 else ("0", "i")
    text = f"""static void {NAME}(const float *const *in, float *out, int task)
{{
    float q[{c + size}] = {{0}};
    for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++)
        for (int j = 0; j < {y.width}; j++) {{
            const float *x = in[0] + {image} * {x.image}L + {row} * {x.row}L + j * {x.col}L;
            float *y = out + {image} * {y.image}L + {row} * {y.row}L + j * {y.col}L;
            for (int c = 0; c < {c}; c++) q[c + {half}] = x[c] * x[c];
            for (int c = 0; c < {c}; c++) {{
                float s = 0;
                UNROLL for (int t = 0; t < {size}; t++) s += q[c + t];
                s = {format_float(k)} + {format_float(alpha / size)} * s;
                y[c] = x[c] * ({power});
            }}
        }}
}}
"""
    doc = f"lrn over {size} of {c} channels: {x.step_shape()}"
    return WrittenStep("lrn", doc, text, -(-rows // per), (site.place(site.step.operands[0], x.at, exact=True),), y.at)


def require_same_shape(site: Site) -> None:
    """NotNative unless the result has the operand's shape."""
    if site.slot(site.step.operands[0]).dims != site.slot(site.step.results[0]).dims:
        raise NotNative("the result has another shape")
