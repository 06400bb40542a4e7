"""Layers of Caffe's forks that give an image another size: Interp, and the two that are called Upsample."""

from __future__ import annotations

from ....compiler.ir import Value
from ....compiler.ops.resize import Interp, Unpool, Upsample
from ..layer import Layer, layer


@layer("Interp", "interp_param")
def interp(l: Layer, x: Value) -> Value:
    """Another size by straight lines between neighbours, corners on corners (PSPNet's interp_layer.cpp).

    shrink_factor or zoom_factor alone comes first, then height and width, then both factors one after the other.
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
            raise l.fault("full_zoom_factor says the size, and other fields say it too", "full_zoom_factor", advice)
        return l.emit(Interp(times=p["full_zoom_factor"]), x)
    if sized and shrink == zoom:
        return l.emit(Interp(sizes=(p["height"], p["width"]), trim=trim), x)
    if not shrink and not zoom:
        raise l.fault("nothing says how large the result is", None, "Give height and width, or zoom_factor.")
    if sized:
        said = "shrink_factor" if shrink else "zoom_factor"
        l.importer.warn(f"{l.label} has a {said}, so Caffe does not look at its height and width")
    return l.emit(Interp(shrink=p["shrink_factor"], zoom=p["zoom_factor"], trim=trim), x)


@layer("Upsample", "upsample_param", bottoms=(1, 2))
def upsample(l: Layer, x: Value, mask: Value | None = None) -> Value:
    """With a second bottom, a pooling's mask: each number where the mask says, zeros elsewhere (SegNet's
    upsample_layer.cpp). With one bottom: each number `scale` times along both axes (MobileNet-YOLO's)."""
    check_image(l, x)
    if mask is not None:
        return l.emit(unpool(l), x, mask)
    p = l.param
    scale = p["scale"] if "scale" in p else 1
    if scale < 1:
        raise l.fault("scale is 1 or more", "scale")
    return l.emit(Upsample(scale=(scale,)), x)


def unpool(l: Layer) -> Unpool:
    """SegNet's Upsample: upsample_h and upsample_w win over scale_h and scale_w, or scale, which is 2 if nothing is."""
    p = l.param
    sizes, scales = ("upsample_h", "upsample_w"), ("scale_h", "scale_w")
    for pair in (sizes, scales):
        given = [field for field in pair if field in p]
        if len(given) == 1:
            raise l.fault(f"{' and '.join(pair)} go together", given[0])
    cut = tuple(int(p[f]) for f in ("pad_out_h", "pad_out_w"))
    scale = p["scale"] if "scale" in p else 2
    if "upsample_h" in p:  # Caffe then looks at nothing else
        check_at_least_two(l, *sizes)
        return Unpool(sizes=(p["upsample_h"], p["upsample_w"]))
    if "scale_h" in p:
        if "scale" in p:
            raise l.fault("scale and scale_h, scale_w say the same", "scale", "Keep one of the two forms.")
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
    """Each number `stride` times along both axes (synopsys' upsample_darknet_layer.cpp)."""
    check_image(l, x)
    if l.param["stride"] < 1:
        raise l.fault("stride is 1 or more", "stride")
    return l.emit(Upsample(scale=(l.param["stride"],)), x)


def check_image(l: Layer, x: Value) -> None:
    if x.type.rank != 4:
        raise l.fault(f"it takes images [n, c, h, w], not {x.type}")


def check_at_least_two(l: Layer, *fields: str) -> None:
    """Caffe's own check of these settings."""
    for field in fields:
        if l.param[field] < 2:
            raise l.fault(f"{field} has to be 2 or more, in Caffe too", field)
