"""Test cases for transposed convolutions, resized and rearranged images, and operators along axes."""

from __future__ import annotations

from collections.abc import Iterator

from .prove import KernelCase, net

PRECISIONS = {"f32": "cuda", "strict": "cuda-f32-strict", "f16": "cuda-f16"}
DECONVOLUTIONS = {  # input, weight [c, o / groups, ...], attributes, template
    "stride 2": ("f32[2,18,5,4]", "f32[18,7,4,4]", "stride=2, pad=1", "PRECISION"),
    "window smaller than the stride": ("f32[1,20,3,4]", "f32[20,33,2,1]", "stride=[3,2]", "PRECISION"),
    "window no multiple of the stride": ("f32[1,5,4,5]", "f32[5,3,5,3]", "stride=[2,3], pad=[3,1]", "PRECISION"),
    "stride 1": ("f32[1,17,4,5]", "f32[17,6,3,3]", "pad=1", "PRECISION"),
    "groups": ("f32[2,6,3,4]", "f32[6,2,3,4]", "stride=2, groups=2, pad=[0,1]", "PRECISION"),
    "one axis": ("f32[2,9,6]", "f32[9,5,4]", "stride=3", "PRECISION"),
    "one pixel": ("f32[1,16,1,1]", "f32[16,4,4,4]", "stride=4", "PRECISION"),
    "bilinear": ("f32[1,21,6,5]", "f32[21,1,4,4]", "stride=2, pad=1, groups=21", "EACH"),
    "depthwise, two each": ("f32[2,4,3,4]", "f32[4,2,3,5]", "stride=[2,3], pad=[1,0], groups=4", "EACH"),
}
IMAGES = {  # input, expression
    "interp, larger": ("f32[2,5,4,6]", "interp(x, sizes=[9,13])"),
    "interp, smaller": ("f32[1,17,9,8]", "interp(x, shrink=2)"),
    "interp, trimmed": ("f32[1,3,7,8]", "interp(x, times=3, trim=[1,2])"),
    "interp, one pixel": ("f32[1,3,5,4]", "interp(x, sizes=[1,1])"),
    "interp, of one pixel": ("f32[2,40,1,1]", "interp(x, sizes=[5,3])"),
    "interp, a copy": ("f32[1,4,6,5]", "interp(x, trim=1)"),
    "interp, one axis": ("f32[2,3,5]", "interp(x, sizes=8)"),
    "upsample": ("f32[2,5,4,3]", "upsample(x, scale=[2,3])"),
    "upsample, one axis": ("f32[2,3,5]", "upsample(x, scale=2)"),
    "lengths of images": ("f32[3,5,4,6]", "l2_normalize(x)"),
    "lengths of pixels": ("f32[2,70,4,3]", "l2_normalize(x, across=false)"),
    "lengths of vectors": ("f32[5,40]", "l2_normalize(x, eps=0.5)"),
    "deviations of channels": ("f32[2,5,9,7]", "standardize(x)"),
    "deviations of images": ("f32[3,5,4,7]", "standardize(x, per=0, eps=0.25)"),
    "deviations of the batch": ("f32[3,5,4,7]", 'standardize(x, per=[1], eps=0.001, eps_in="variance")'),
    "flipped": ("f32[2,5,4,3]", "flip(x, axes=[1,3])"),
    "flipped rows": ("f32[3,40]", "flip(x, axes=-1)"),
    "repeated": ("f32[2,5,4,3]", "tile(x, tiles=3)"),
    "repeated rows": ("f32[2,7]", "tile(x, tiles=2, axis=0)"),
    "largest of channels": ("f32[2,70,4,3]", "argmax(x)"),
    "largest of rows": ("f32[5,2000]", "argmax(x, axis=-1)"),
    "largest of equals": ("f32[4,9]", "argmax(relu(x))"),
    "means only": ("f32[2,3,4,5]", "standardize(x, scaled=false)"),
    "more than a block": ("f32[1,2,40,41]", "standardize(x)"),
}
REDUCTIONS = ("sum", "asum", "sumsq", "mean")


def value_net(x: str, value: str, **weights: str) -> str:
    """A net that returns one value."""
    return net(x, f"y = {value}; return y", **weights)


def resized_cases() -> Iterator[tuple[str, KernelCase]]:
    for precision, target in PRECISIONS.items():
        for name, (x, w, attributes, word) in DECONVOLUTIONS.items():
            o = w.split(",")[1]
            groups = int(attributes.partition("groups=")[2].partition(",")[0] or 1)
            weights = {"w": w, "b": f"f32[{int(o) * groups}]", "r": f"f32[{int(o) * groups}]"}
            text = value_net(x, f"prelu(deconv(x, w, b, {attributes}), r)", **weights)
            yield (
                f"deconv/{precision}/{name}",
                KernelCase(text, target, kernels=(f"{word}: tl.constexpr", "deconv_prelu")),
            )
    for layout in ("nchw", "nhwc"):
        for name, (x, value) in IMAGES.items():
            of_batch = name == "deviations of the batch"  # their pictures and pixels have one stride in nhwc only
            if (x.count(",") == 3 and not (of_batch and layout == "nchw")) or (layout == "nchw" and x.count(",") < 3):
                yield f"resized/{layout}/{name}", KernelCase(value_net(x, value), layout=layout)
    for name in ("interp, larger", "lengths of pixels", "deviations of channels", "upsample"):
        yield f"resized/f16/{name}", KernelCase(value_net(*IMAGES[name]), "cuda-f16")
    for x in ("f32[3,7]", "f32[1,1030]"):
        yield f"resized/largest of NaN and infinities/{x}", KernelCase(value_net(x, "argmax(x)"), special=True)
    for how in REDUCTIONS:
        for axis in (0, 1, 2, 3):
            text = value_net("f32[2,3,4,5]", f'reduce(x, how="{how}", axis={axis}, coeff=0.5)')
            yield f"reduce/{how}/{axis}", KernelCase(text)
    yield "reduce/more than a block", KernelCase(value_net("f32[3,2000]", "reduce(x, axis=1)"))
