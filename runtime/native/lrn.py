"""Local response normalization as C, across channels and within each (Krizhevsky et al. 2012; lrn_layer.cpp)."""

from __future__ import annotations

from .epilogue import format_float
from .pooling import channel_loop
from .rows import require_same_shape
from .site import NAME, NotNative, Site, WrittenStep
from .split import split

MOST_SIZE = 1 << 12
MOST_CHANNELS = 1 << 14  # whose squares are on the stack


def write_lrn(site: Site) -> WrittenStep:
    """The step `lrn` across channels: x · (k + alpha / size · sum of x² over `size` channels)^-beta (lrn_layer.cpp)."""
    if not (0 < site.payload["size"] < MOST_SIZE and site.payload["size"] % 2):
        raise NotNative(f"its windows are of {site.payload['size']} numbers")
    if site.payload["region"] != "across":
        return write_lrn_within(site)
    x, y = site.image(site.step.operands[0]), site.image(site.step.results[0])
    require_same_shape(site)
    c, size, half = y.channels, site.payload["size"], site.payload["size"] // 2
    if c > MOST_CHANNELS:
        raise NotNative(f"it has {c} channels")
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
                s = {format_float(k)}{f" + {format_float(alpha / size)} * s" * (alpha != 0)};
                y[c] = x[c] * ({power});
            }}
        }}
}}
"""
    doc = f"lrn over {size} of {c} channels: {x.step_shape()}"
    return WrittenStep("lrn", doc, text, -(-rows // per), (site.place(site.step.operands[0], x.at, exact=True),), y.at)


def write_lrn_within(site: Site) -> WrittenStep:
    """The step `lrn` within channels: x · (1 + alpha / size² · sum of x² over size × size pixels)^-beta."""
    if len(site.slot(site.step.operands[0]).dims) != 4:
        raise NotNative("its windows are of another number of axes than two")
    x, y = site.image(site.step.operands[0]), site.image(site.step.results[0])
    require_same_shape(site)
    size, half, rows = site.payload["size"], site.payload["size"] // 2, y.images * y.height
    alpha, beta = format_float(site.payload["alpha"] / size**2), format_float(-site.payload["beta"])
    per = split(site.machine, rows, y.pixels * y.channels * (0.0002 * size**2 + 0.004))
    image, row = (f"i / {y.height}", f"i % {y.height}") if y.images > 1 else ("0", "i")
    window = f"wj + c, {x.row}, {x.col}, bottom - top, right - left"
    store = channel_loop(f"lrn_window(xj + c, {window}, {alpha}, {beta})", y.channels, site.machine.vector)
    text = f"""static void {NAME}(const float *const *in, float *out, int task)
{{
    for (int i = task * {per}; i < (task + 1) * {per} && i < {rows}; i++) {{
        int h = {row}, top = h - {half}, bottom = h + {half} + 1;
        if (top < 0) top = 0;
        if (bottom > {y.height}) bottom = {y.height};
        const float *xi = in[0] + {image} * {x.image}L;
        for (int j = 0; j < {y.width}; j++) {{
            int left = j - {half}, right = j + {half} + 1;
            if (left < 0) left = 0;
            if (right > {y.width}) right = {y.width};
            const float *xj = xi + h * {x.row}L + j * {x.col}L, *wj = xi + top * {x.row}L + left * {x.col}L;
            float *yj = out + {image} * {y.image}L + h * {y.row}L + j * {y.col}L;
            {store}
        }}
    }}
}}
"""
    doc = f"lrn over {size}x{size} pixels: {x.step_shape()}"
    return WrittenStep("lrn_within", doc, text, -(-rows // per), (site.place(site.step.operands[0], x.at),), y.at)
