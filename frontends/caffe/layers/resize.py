"""Layers of Caffe's forks that resize images: Interp, the two Upsample layers, and UpsampleDarknet."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.resize import Interp, Unpool, Upsample
from ..layer import Layer, layer


@layer("Interp", "interp_param")
def interp(l: Layer, x: Value) -> Value:
    """Bilinear resize with aligned corners (PSPNet's interp_layer.cpp).

    shrink_factor or zoom_factor alone takes precedence, then height and width, then both factors in sequence.
    """
    p = l.param
    check_image(l, x)
    for field in ("shrink_factor", "zoom_factor", "full_zoom_factor"):
        if p[field] < 1:
            raise l.fault(f"{field} is 1 or more", field)
    for field in ("pad_beg", "pad_end"):
        if p[field] > 0:
            raise l.fault(f"{field} is 0, or less to cut: Caffe's Interp pads nothing, either", field)
    trim, shrink, zoom = (-p["pad_beg"], -p["pad_end"]), "shrink_factor" in p, "zoom_factor" in p
    sized = "height" in p and "width" in p
    if "full_zoom_factor" in p:
        if shrink or zoom or "height" in p or "width" in p or any(trim):
            advice = "Keep full_zoom_factor, or take it out."
            raise l.fault("full_zoom_factor and other fields both set the size", "full_zoom_factor", advice)
        return l.emit(Interp(times=p["full_zoom_factor"]), x)
    if sized and shrink == zoom:
        return l.emit(Interp(sizes=(p["height"], p["width"]), trim=trim), x)
    if not shrink and not zoom:
        raise l.fault("no field sets the size of the result", None, "Give height and width, or zoom_factor.")
    if given := [size for size in ("height", "width") if size in p]:
        field = "shrink_factor" if shrink else "zoom_factor"
        l.importer.warn(f"{l.label} has a {field}, so Caffe ignores its {' and '.join(given)}")
    return l.emit(Interp(shrink=p["shrink_factor"], zoom=p["zoom_factor"], trim=trim), x)


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
        given = [field for field in pair if field in p]
        if len(given) == 1:
            raise l.fault(f"{' and '.join(pair)} go together", given[0])
    cut = tuple(int(p[f]) for f in ("pad_out_h", "pad_out_w"))
    scale = p["scale"] if "scale" in p else 2
    if "upsample_h" in p:  # Caffe then ignores the other settings
        check_at_least_two(l, *sizes)
        return Unpool(sizes=(p["upsample_h"], p["upsample_w"]))
    if "scale_h" in p:
        if "scale" in p:
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
