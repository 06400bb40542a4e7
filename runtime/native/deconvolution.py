"""Transposed convolutions as C: for each phase of the stride a convolution, which writes every s-th pixel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from textwrap import wrap

import torch
from torch import Tensor

from .deconvolution_depthwise import write_depthwise_deconv
from .image import Image, pads_of, pair
from .product import Product, write_product
from .site import NAME, Extra, Floats, NotNative, Place, Site, WrittenStep
from .written import indent

MOST_PHASES = 1024


@dataclass(frozen=True, slots=True)
class PhaseAxis:
    """Along one axis the results q · stride + `first`, `count` of them: taps `tap`, `tap` + stride, ... of the window.

    Result q reads `taps` pixels from q + `start` on.
    """

    first: int
    count: int
    tap: int
    taps: int
    start: int


def phases(kernel: int, stride: int, pad: int, made: int) -> Iterator[PhaseAxis]:
    """The phases along an axis of `made` pixels, which are at stride · pixel of x + tap - pad (deconv_layer.cpp)."""
    for first in range(min(stride, made)):
        tap = (first + pad) % stride
        taps = -(-(kernel - tap) // stride)
        start = (first + pad - tap) // stride - taps + 1
        yield PhaseAxis(first, -(-(made - first) // stride), tap, taps, start)


def deconv_halo(kernel: int, stride: int, pad: int, size: int, made: int) -> tuple[int, int]:
    """The pixels before and after an axis of `size` pixels that the phases read."""
    found = list(phases(kernel, stride, pad, made))
    after = max(p.count - 1 + p.start + p.taps - size for p in found)
    return max(0, *(-p.start for p in found)), max(0, after)


def write_deconv(site: Site) -> WrittenStep:
    """The step `deconv`. NotNative, with the reason, if this is not written here."""
    name, weight, *rest = site.step.operands
    bias = rest.pop(0) if site.payload["bias"] else None
    shape = site.weight_shape(weight)
    if len(shape) != 4 or len(site.slot(name).dims) != 4:
        raise NotNative("it is no transposed convolution of images of two axes")
    x, y = site.image(name), site.image(site.step.results[0])
    kernel, stride, dilation = map(pair, (shape[2:], site.payload["stride"], site.payload["dilation"]))
    pad, _ = pads_of(site.payload["pad"])
    groups, dims = site.payload["groups"], site.plan.slots[site.step.results[0]].bounds
    if dilation != (1, 1):
        raise NotNative("it is dilated")
    require_fit(site, x, y, shape, groups, kernel, stride, pad, bias)
    extras = site.extras(rest, y, dims)
    if groups == x.channels == y.channels:
        return write_depthwise_deconv(site, x, y, kernel, stride, pad, weight, bias, extras)
    if groups != 1:
        raise NotNative("it has groups")
    if stride[0] * stride[1] > MOST_PHASES or any(k < s for k, s in zip(kernel, stride, strict=True)):
        raise NotNative(f"a window of {list(kernel)} with stride {list(stride)} has no kernel in C")
    require_border(site, x, y, kernel, stride, pad)
    parts = [
        write_phase(site, x, y, (down, across), stride, weight, bias, extras)
        for down in phases(kernel[0], stride[0], pad[0], y.height)
        for across in phases(kernel[1], stride[1], pad[1], y.width)
    ]
    kh, kw = kernel
    doc = f"deconv {kh}x{kw} stride {stride[0]}x{stride[1]} pad {pad[0]}x{pad[1]}: {x.step_shape()} -> {y.step_shape()}"
    return join_phases(parts, doc)


def require_fit(
    site: Site,
    x: Image,
    y: Image,
    shape: tuple[int, ...],
    groups: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    bias: str | None,
) -> None:
    """NotNative unless sizes are those of the operator: nothing else keeps its reads inside the arena."""
    axes = list(zip(kernel, stride, pad, (x.height, x.width), (y.height, y.width), strict=True))
    fits = (
        min(*stride, *kernel) >= 1 and min(*pad, 0) >= 0 and all(s * (i - 1) + k - 2 * p == o for k, s, p, i, o in axes)
    )
    fits = fits and shape[0] == x.channels and groups >= 1 and x.channels % groups == 0
    fits = fits and shape[1] * groups == y.channels and x.images == y.images and min(y.height, y.width) >= 1
    if not fits or (bias is not None and site.weight_shape(bias) != (y.channels,)):
        raise NotNative(f"a weight of {list(shape)} takes {x.step_shape()} to other sizes than {y.step_shape()}")


def require_border(
    site: Site, x: Image, y: Image, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]
) -> None:
    """NotNative unless the operand has the border that the phases read."""
    for k, s, p, i, o in zip(kernel, stride, pad, (x.height, x.width), (y.height, y.width), strict=True):
        before, after = deconv_halo(k, s, p, i, o)
        if before > x.before or after > x.after:
            raise NotNative(f"{site.step.operands[0]} has no border of {before} and {after} pixels")


def write_phase(
    site: Site,
    x: Image,
    y: Image,
    phase: tuple[PhaseAxis, PhaseAxis],
    stride: tuple[int, int],
    weight: str,
    bias: str | None,
    extras: tuple[Extra, ...],
) -> WrittenStep:
    """The convolution of one phase: its window is every s-th tap, in reverse."""
    (down, across), (sh, sw) = phase, stride
    skip = [(down.first * e.row + across.first * e.col) for e in extras]
    apart = tuple(
        replace(e, place=Place(e.place.base, e.place.at + at), row=sh * e.row, col=sw * e.col)
        for e, at in zip(extras, skip, strict=True)
    )
    result = replace(
        y,
        height=down.count,
        width=across.count,
        at=y.at + down.first * y.row + across.first * y.col,
        row=sh * y.row,
        col=sw * y.col,
    )
    product = Product(
        source=x,
        result=result,
        stride=(x.row, x.col),
        window=(down.taps, across.taps, x.channels),
        steps=(x.row, x.col),
        groups=1,
        outputs=y.channels,
        at=x.at + down.start * x.row + across.start * x.col,
        flat=False,
    )
    pack = partial(pack_phase, weight, bias, phase, stride)
    return write_product(site, product, pack, apart, f"phase {down.first}, {across.first}")


def pack_phase(
    weight: str,
    bias: str | None,
    phase: tuple[PhaseAxis, PhaseAxis],
    stride: tuple[int, int],
    weights: Mapping[str, Floats],
) -> tuple[Tensor, Floats | None]:
    """The phase's taps of [channels, outputs, window] as [outputs, taps in reverse · channels], and the bias."""
    (down, across), (sh, sw) = phase, stride
    taps = torch.from_numpy(weights[weight])[:, :, down.tap :: sh, across.tap :: sw].flip(2, 3)
    return taps.permute(1, 2, 3, 0).flatten(1), weights[bias] if bias else None


def join_phases(parts: list[WrittenStep], doc: str) -> WrittenStep:
    """One step of all phases. Those whose code is the same are a table of the places where they begin."""
    first, alike = parts[0], dict[str, list[WrittenStep]]()
    for part in parts:
        alike.setdefault(part.body, []).append(part)
    texts, lines, width = list[str](), list[str](), len(first.operands) + 1
    for i, (body, members) in enumerate(alike.items()):
        texts.append(body.replace(NAME, f"{NAME}_{i}"))
        rows = (", ".join(f"{at}" for at in distances(first, part)) for part in members)
        table = wrap(", ".join(f"{{{row}}}" for row in rows), 100)
        lines += [f"static const long at_{i}[][{width}] = {{", *indent(table), "};"]
        tasks = members[0].tasks
        places = ", ".join(f"in[{k}] + p[{k}]" for k in range(width - 1))
        body_lines = [
            f"const long *p = at_{i}[task / {tasks}];",
            f"{NAME}_{i}((const float *[]){{{places}}}, out + p[{width - 1}], task % {tasks});",
        ]
        if i == len(alike) - 1:
            lines += body_lines
        else:
            count = tasks * len(members)
            lines += [f"if (task < {count}) {{", *indent(body_lines), "    return;", "}", f"task -= {count};"]
    head = f"static void {NAME}(const float *const *in, float *out, int task)"
    helpers = tuple(dict.fromkeys(h for part in parts for h in part.helpers))
    text = "".join(texts) + "\n".join([head, "{", *indent(lines), "}"]) + "\n"
    return replace(first, doc=doc, body=text, tasks=sum(part.tasks for part in parts), helpers=helpers)


def distances(first: WrittenStep, part: WrittenStep) -> Iterator[int]:
    """How many floats further a phase's operands and result begin."""
    yield from (b.at - a.at for a, b in zip(first.operands, part.operands, strict=True))
    yield part.out - first.out
