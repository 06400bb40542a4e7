"""How the pixels of two tops of a NetSpec correspond, and the Crop layer that cuts one to the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from .net_spec import Function, Top, layers

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power", "ReLU",
    "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
Map = tuple[
    int | None, Any, Any
]  # the first axis (None: any), scale and shift: x in the top is scale * x + shift below
IDENTITY: Map = (None, 1, 0)


class UndefinedMapException(Exception):
    """A layer whose pixels do not correspond to those of its bottom by scale and shift."""


class AxisMismatchException(Exception):
    """Two maps along different axes."""


def conv_params(fn: Function) -> tuple[int, Any, Any, Any]:
    """The axis, stride, extent of the window (with dilation) and pad of a layer with windows."""
    settings = fn.params.get("convolution_param", fn.params)
    if legacy := {f"{word}_{axis}" for word in ("pad", "kernel", "stride") for axis in "hw"} & settings.keys():
        raise AssertionError(
            f"{fn.type_name}: cropping does not read {', '.join(sorted(legacy))}; give both sizes at once"
        )
    size, dilation = (np.array(settings.get(name, 1), ndmin=1) for name in ("kernel_size", "dilation"))
    stride, pad = np.array(settings.get("stride", 1), ndmin=1), np.array(settings.get("pad", 0), ndmin=1)
    return settings.get("axis", 1), stride, (size - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Any]:
    """The axis and the offset of a Crop layer."""
    settings = fn.params.get("crop_param", fn.params)
    return settings.get("axis", 2), np.array(settings.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The map of one layer: its axis, and the scale and shift from coordinates in its bottom to those in its top."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, size, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (size - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, size, pad = conv_params(fn)
        return axis, stride, (size - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"{fn.type_name} has no map of coordinates")


def compose(base_map: Map, next_map: Map) -> Map:
    """One map behind another. AxisMismatchException if they are along different axes."""
    axis, scale, shift = base_map
    next_axis, next_scale, next_shift = next_map
    if None not in (axis, next_axis) and axis != next_axis:
        raise AxisMismatchException(f"axes {axis} and {next_axis}")
    return next_axis if axis is None else axis, scale * next_scale, scale * next_shift + shift


def inverse(coord_map: Map) -> Map:
    """The map in the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from one top to another, by way of a top from which both are computed. RuntimeError without one."""
    from_maps = dict(walk_up(top_from))
    for top, found in walk_up(top_to):
        if top in from_maps:
            return compose(found, inverse(from_maps[top]))
    raise RuntimeError("no map between these tops: no layers with maps of coordinates connect them")


def walk_up(top: Top) -> Any:
    """Yield the tops from which one is computed, itself first, each with the map from it to `top`'s coordinates."""
    maps: dict[Top, Map] = {top: IDENTITY}
    waiting = [top]
    while waiting:
        current = waiting.pop(0)
        yield current, maps[current]
        bottoms = current.fn.inputs[:1] if current.fn.type_name == "Crop" else current.fn.inputs
        try:
            for bottom in bottoms:
                if bottom not in maps:
                    maps[bottom] = compose(maps[current], coord_map(current.fn))
                    waiting.append(bottom)
        except UndefinedMapException:
            continue


def crop(top_from: Top, top_to: Top) -> Any:
    """A Crop layer that cuts `top_from` to the pixels of `top_to`. AssertionError if these do not lie inside it."""
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    offset = -np.round(np.atleast_1d(shift)).astype(int)
    assert np.all(scale == 1), f"the tops have different scales: {scale}"
    assert np.all(offset >= 0), f"the offset would be negative: {offset}"
    assert np.all(-offset == shift), f"the offset would be no whole number: {-shift}"
    if axis is None:
        raise UndefinedMapException("no layer with windows connects these tops: they have the same pixels already")
    return layers.Crop(top_from, top_to, crop_param={"axis": axis + 1, "offset": offset.tolist()})
