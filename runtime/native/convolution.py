"""Convolutions as C: register tiles of pixels by channels that walk over the rows of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .depthwise import can_be_depthwise, write_depthwise
from .image import Image, pads_of, pair
from .product import Product, write_product
from .site import Extra, Floats, NotNative, Site, WrittenStep
from .winograd import write_winograd
from .winograd_choice import plan_for
from .winograd_forms import FORMS, Form


@dataclass(frozen=True, slots=True)
class Window:
    """The window of a convolution, by image axis; the padding is `pad` before the image and `after` behind it."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    after: tuple[int, int]

    def output_sizes(self, x: Image) -> tuple[int, ...]:
        """How many places the window has along each image axis (conv_layer.cpp)."""
        pads = (p + q for p, q in zip(self.pad, self.after, strict=True))
        sizes = zip((x.height, x.width), self.kernel, self.stride, pads, self.dilation, strict=True)
        return tuple((i + p - d * (k - 1) - 1) // max(s, 1) + 1 for i, k, s, p, d in sizes)

    def halo(self, x: Image, y: Image) -> tuple[int, int]:
        """Pixels of zeros that it reads before and after an image, at most."""
        reach = [
            (out - 1) * s + (k - 1) * d + 1 - p - size
            for out, size, k, s, p, d in zip(
                (y.height, y.width), (x.height, x.width), self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        ]
        return max(self.pad), max(*reach, 0)


def write_conv(site: Site) -> WrittenStep:
    """The step `conv`. NotNative, with the reason, if this is not written here."""
    name, weight, *rest = site.step.operands
    groups, bias = site.payload["groups"], rest.pop(0) if site.payload["bias"] else None
    shape = site.weight_shape(weight)
    x, y = site.image(name), site.image(site.step.results[0])
    if len(shape) != 4 or len(site.slot(name).dims) != 4:
        raise NotNative("it is no convolution of images of two axes")
    kernel, stride, dilation = map(pair, (shape[2:], site.payload["stride"], site.payload["dilation"]))
    window = Window(kernel, stride, dilation, *pads_of(site.payload["pad"]))
    require_shapes(site, x, y, window, shape, groups, bias)
    require_halo(site, x, y, window)
    dims = site.plan.slots[site.step.results[0]].bounds
    extras = site.extras(rest, y, dims)
    if form := FORMS.get(site.payload["algorithm"]):
        require_form(site, x, y, form, window, groups)
        return write_winograd(site, x, y, form, window.pad, weight, bias, extras)
    if can_be_depthwise(shape, groups, x, window.stride, window.dilation):
        return write_depthwise(site, x, y, window.kernel, window.stride[0], window.pad, weight, bias, extras)
    return write_grouped(site, x, y, window, groups, weight, bias, extras)


def require_shapes(
    site: Site, x: Image, y: Image, window: Window, shape: tuple[int, ...], groups: int, bias: str | None
) -> None:
    """NotNative unless the sizes are those of a convolution: nothing else keeps its reads inside the arena."""
    sizes = window.output_sizes(x)
    fits = groups >= 1 and shape[1] * groups == x.channels and shape[0] == y.channels and shape[0] % groups == 0
    fits = fits and sizes == (y.height, y.width) and x.images == y.images and min(*window.stride, *window.dilation) >= 1
    fits = fits and min(*window.pad, *window.after) >= 0 and min(window.kernel) >= 1
    fits = fits and (bias is None or site.weight_shape(bias) == shape[:1])
    if not fits:
        raise NotNative(f"a weight of {list(shape)} takes {x.step_shape()} to other sizes than {y.step_shape()}")


def require_halo(site: Site, x: Image, y: Image, window: Window) -> None:
    """NotNative unless the operand has the border that the window reads."""
    before, after = window.halo(x, y)
    if before > x.before or after > x.after:
        raise NotNative(f"{site.step.operands[0]} has no border of {before} and {after} pixels")


def require_form(site: Site, x: Image, y: Image, form: Form, window: Window, groups: int) -> None:
    """NotNative unless a form of Winograd's computes the convolution, and the operand has the border that it reads."""
    plain = window.stride == window.dilation == (1, 1) and window.kernel == (form.window, form.window) and groups == 1
    axes = zip((y.height, y.width), (x.height, x.width), window.pad, strict=True)
    after = max(form.halo_after(out, size, pad) for out, size, pad in axes)
    if not plain or after > x.after or plan_for(form, site.machine, x, y) is None:
        raise NotNative(f"{form.name} does not compute it")


def write_grouped(
    site: Site,
    x: Image,
    y: Image,
    window: Window,
    groups: int,
    weight: str,
    bias: str | None,
    extras: tuple[Extra, ...],
) -> WrittenStep:
    """A convolution as matrix products over the window, group by group."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.pad, window.dilation
    channels = x.channels // groups
    joined = x.col == channels and dw == 1  # the window's columns are one run of numbers
    flat = window.kernel == window.stride == (1, 1) and not ph + pw and x.is_flat and y.is_flat
    flat = flat and all(e.is_flat(y) for e in extras)
    product = Product(
        source=x.flat() if flat else x,
        result=y.flat() if flat else y,
        stride=(sh * x.row, sw * x.col),
        window=(kh, 1, kw * channels) if joined else (kh, kw, channels),
        steps=(dh * x.row, dw * x.col),
        groups=groups,
        outputs=y.channels // groups,
        at=x.at - ph * x.row - pw * x.col,
        flat=flat,
    )
    pack = partial(pack_conv, weight, bias)
    shown = f"conv {kh}x{kw}" + f" stride {sh}x{sw}" * (window.stride != (1, 1)) + f" pad {ph}x{pw}" * bool(ph + pw)
    shown += f" and {window.after[0]}x{window.after[1]}" * (window.after != window.pad)
    shown += f" dilation {dh}x{dw}" * (window.dilation != (1, 1)) + f" groups {groups}" * (groups > 1)
    return write_product(site, product, pack, extras, f"{shown}: {x.step_shape()} -> {y.step_shape()}")


def pack_conv(weight: str, bias: str | None, weights: Mapping[str, Floats]) -> tuple[Tensor, Floats | None]:
    """The weight as [outputs, window...] with the channels innermost, and the bias [outputs]."""
    w = torch.from_numpy(weights[weight])
    return w.permute(0, 2, 3, 1).flatten(1), weights[bias] if bias else None
