"""Layers of Caffe's forks that resize images: Interp, two Upsample layers, ResizeBilinear and others, Accum."""

from __future__ import annotations

from collections.abc import Mapping

from ....compiler.ir import Value
from ....compiler.ops.resize import Interp, Resize, Unpool, Upsample
from ....compiler.ops.shape import Concat
from ..layer import MANY, Layer, layer


@layer("Interp", "interp_param", bottoms=(1, 2))
def interp(l: Layer, x: Value, like: Value | None = None) -> Value:
    """Bilinear resize with aligned corners (PSPNet's interp_layer.cpp).

    shrink_factor or zoom_factor alone takes precedence, then height and width, then both factors in sequence. With
    `use_blob_size` (caffe-model), to the height and width of the second bottom.
    """
    p = l.param
    check_image(l, x)
    if like is not None or p["use_blob_size"]:
        return interp_like(l, x, like)
    for field in ("shrink_factor", "zoom_factor", "full_zoom_factor"):
        if p[field] < 1:
            raise l.fault(f"{field} is 1 or more", field)
    for field in ("pad_beg", "pad_end"):
        if p[field] > 0:
            raise l.fault(f"{field} is 0, or less to cut: Caffe's Interp pads nothing, either", field)
    trim, shrink, zoom = (-p["pad_beg"], -p["pad_end"]), p.is_set("shrink_factor"), p.is_set("zoom_factor")
    given = [size for size in ("height", "width") if p.is_set(size)]
    if p.is_set("full_zoom_factor"):
        if shrink or zoom or given or any(trim):
            advice = "Keep full_zoom_factor, or take it out."
            raise l.fault("full_zoom_factor and other fields both set the size", "full_zoom_factor", advice)
        return l.emit(Interp(times=p["full_zoom_factor"]), x)
    if len(given) == 2 and shrink == zoom:
        return l.emit(Interp(sizes=(p["height"], p["width"]), trim=trim), x)
    if not shrink and not zoom:
        raise l.fault("no field sets the size of the result", None, "Give height and width, or zoom_factor.")
    if given:
        field = "shrink_factor" if shrink else "zoom_factor"
        l.importer.warn(f"{l.label} has a {field}, so Caffe ignores its {' and '.join(given)}")
    factors = p["shrink_factor"] if shrink else 1, p["zoom_factor"] if zoom else 1
    return l.emit(Interp(shrink=factors[0], zoom=factors[1], trim=trim), x)


def interp_like(l: Layer, x: Value, like: Value | None) -> Value:
    """Emit the resize to the second bottom's height and width."""
    if like is None or not l.param["use_blob_size"]:
        raise l.fault("use_blob_size: true goes with a second bottom, which has the size", "use_blob_size")
    check_image(l, like)
    if others := [f for f in l.param.written if f != "use_blob_size" and l.param.is_set(f)]:
        raise l.fault(f"use_blob_size and {others[0]} both set the size", others[0], f"Take {others[0]} out.")
    return l.emit(Resize(), x, like)


@layer("Upsample", "upsample_param", dialect="mobilenet-yolo", fields=("scale",))
def upsample(l: Layer, x: Value) -> Value:
    """Repeat each element `scale` times along both image axes (MobileNet-YOLO's upsample_layer.cpp)."""
    check_image(l, x)
    scale = l.param["scale"] if "scale" in l.param else 1
    if scale < 1:
        raise l.fault("scale is 1 or more", "scale")
    return l.emit(Upsample(scale=(scale,)), x)


UNPOOL_FIELDS = ("scale", "scale_h", "scale_w", "pad_out_h", "pad_out_w", "upsample_h", "upsample_w")


@layer("Upsample", "upsample_param", bottoms=2, dialect="segnet", fields=UNPOOL_FIELDS)
def upsample_by_mask(l: Layer, x: Value, mask: Value) -> Value:
    """Unpool by the second bottom, a max pooling's mask; other elements are 0 (SegNet's upsample_layer.cpp)."""
    check_image(l, x)
    return l.emit(unpool(l), x, mask)


def unpool(l: Layer) -> Unpool:
    """SegNet's Upsample: upsample_h, upsample_w take precedence over scale_h, scale_w, and those over scale (2)."""
    p = l.param
    sizes, scales = ("upsample_h", "upsample_w"), ("scale_h", "scale_w")
    for pair in (sizes, scales):
        given = [field for field in pair if p.is_set(field)]
        if len(given) == 1:
            raise l.fault(f"{' and '.join(pair)} go together", given[0])
    cut = tuple(int(p[f]) for f in ("pad_out_h", "pad_out_w"))
    scale = p["scale"] if "scale" in p else 2
    if p.is_set("upsample_h"):  # Caffe then ignores the other settings
        check_at_least_two(l, *sizes)
        return Unpool(sizes=(p["upsample_h"], p["upsample_w"]))
    if p.is_set("scale_h"):
        if p.is_set("scale"):
            raise l.fault("scale and scale_h, scale_w are both given", "scale", "Keep one of the two forms.")
        check_at_least_two(l, *scales)
        factors = (p["scale_h"], p["scale_w"])
    else:
        check_at_least_two(l, *(["scale"] if "scale" in p else []))
        factors = (scale, scale)
    for field, lost, factor in zip(("pad_out_h", "pad_out_w"), cut, factors, strict=True):
        if lost and factor != 2:
            raise l.fault(
                f"{field} is for a scale of 2, and this is {factor}", field, "Give upsample_h and upsample_w."
            )
    return Unpool(scale=factors, cut=cut)


@layer("ResizeBilinear", "resize_bilinear_param")
def resize_bilinear(l: Layer, x: Value) -> Value:
    """Resize by linear interpolation, as TensorFlow does (synopsys-caffe's resize_bilinear_layer.cpp).

    The image axes are those of `data_format`: NHWC, the default, NCHW, or NCHWD for three. The new sizes are
    output_height, output_width and output_depth, or else the sizes times scale_height, scale_width and scale_depth.
    """
    flags = {"align_corners": "corners", "half_pixel_centers": "centers", "pytorch_half_pixel": "torch"}
    return resize_axes(l, x, "linear", flags, {"NHWC": (1, 2), "NCHW": (2, 2), "NCHWD": (2, 3)})


@layer("ResizeNearestNeighbor", "resize_nearest_neighbor_param")
def resize_nearest_neighbor(l: Layer, x: Value) -> Value:
    """Resize by nearest neighbour, as TensorFlow does (synopsys-caffe's resize_nearest_neighbor_layer.cpp)."""
    flags = {"align_corners": "corners", "half_pixel_centers": "centers", "half_pixel_onnx": "onnx"}
    return resize_axes(l, x, "nearest", flags, {"NHWC": (1, 2), "NCHW": (2, 2)})


def resize_axes(
    l: Layer, x: Value, how: str, flags: Mapping[str, str], formats: Mapping[str, tuple[int, int]]
) -> Value:
    """Emit a resize: by the flag that is set, of the axes of the data format."""
    l.require_new_tops()
    p, form = l.param, l.param["data_format"]
    if form not in formats:
        raise l.fault(f"data_format is {', '.join(formats)}, not {form}", "data_format")
    axis, axes = formats[form]
    if x.type.rank != axes + 2:
        raise l.fault(f"{form} has {axes + 2} axes, and the data is {x.type}", "data_format")
    chosen = [field for field in flags if p[field]]
    if len(chosen) > 1:
        raise l.fault(f"{' and '.join(chosen)} are both set", chosen[1], "Keep one of them: Caffe asks for that, too.")
    names = ("height", "width", "depth")[:axes]
    align = flags[chosen[0]] if chosen else "edges"
    sizes = tuple(p[f"output_{name}"] if f"output_{name}" in p else 0 for name in names)
    if wrong := [name for name, size in zip(names, sizes, strict=True) if f"output_{name}" in p and size < 1]:
        raise l.fault(f"output_{wrong[0]} is 1 or more", f"output_{wrong[0]}")
    scale = () if all(sizes) else tuple(l.number(f"scale_{name}") for name in names)
    return l.emit(Resize(how=how, align=align, axis=axis, axes=axes, sizes=sizes, scale=scale), x)


@layer("Accum", "accum_param", bottoms=(1, MANY))
def accum(l: Layer, *bottoms: Value) -> Value:
    """Resize all bottoms to one size, by aligned corners, and concatenate their channels (FlowNet 2's accum_layer.cpp).

    The size is that of the last bottom, which is not part of the result, if `have_reference` is set; else the largest
    height and width there are or, if both are larger, top_height and top_width, or a multiple of `size_divisible_by`.
    """
    p = l.param
    for bottom in bottoms:
        check_image(l, bottom)
    if p["have_reference"]:
        if len(bottoms) < 2:
            raise l.fault("have_reference needs a second bottom, which has the size", "have_reference")
        op, likes, bottoms = Resize(), bottoms[-1:], bottoms[:-1]
    elif "size_divisible_by" in p:
        if p["size_divisible_by"] < 1:
            raise l.fault("size_divisible_by is 1 or more", "size_divisible_by")
        op, likes = Resize(multiple=p["size_divisible_by"], enlarge=True), bottoms
    else:
        op, likes = Resize(sizes=(p["top_height"], p["top_width"]), enlarge=True), bottoms
    resized = [l.emit(op, x, *likes) for x in bottoms]
    if 1 in resized[0].type.dims[2:]:
        raise l.fault("the height or width of the result is 1, and Caffe then divides by 0")
    return l.emit(Concat(), *resized) if len(resized) > 1 else resized[0]


@layer("UpsampleDarknet", "upsample_darknet_param")
def upsample_darknet(l: Layer, x: Value) -> Value:
    """Repeat each element `stride` times along both image axes (synopsys-caffe's upsample_darknet_layer.cpp)."""
    check_image(l, x)
    if l.param["stride"] < 1:
        raise l.fault("stride is 1 or more", "stride")
    return l.emit(Upsample(scale=(l.param["stride"],)), x)


def check_image(l: Layer, x: Value) -> None:
    """Raise CompileError if x is not of rank 4."""
    if x.type.rank != 4:
        raise l.fault(f"it takes images [n, c, h, w], not {x.type}")


def check_at_least_two(l: Layer, *fields: str) -> None:
    """Raise CompileError if one of these settings is below 2, as Caffe does."""
    for field in fields:
        if l.param[field] < 2:
            raise l.fault(f"{field} has to be 2 or more, in Caffe too", field)
