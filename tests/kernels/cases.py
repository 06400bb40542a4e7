"""Test cases for every template and precision: odd sizes, one channel, long strides, tails."""

from __future__ import annotations

from collections.abc import Iterator

from .products import product_cases
from .prove import KernelCase, net
from .resized import resized_cases

PRECISIONS = {"f32": "cuda", "strict": "cuda-f32-strict", "f16": "cuda-f16"}
TILED, IMPLICIT_GEMM = "TN: tl.constexpr", "FLAT: tl.constexpr"


def conv(x: str, w: str, attributes: str = "", epilogue: str = "{}", bias: bool = True) -> str:
    """A net with a convolution and an epilogue such as "relu({})"."""
    o = w.split("[")[1].split(",")[0]
    weights = {"w": w, "b": f"f32[{o}]"} if bias else {"w": w}
    call = f"conv(x, w{', b' if bias else ''}{', ' + attributes if attributes else ''})"
    return net(x, f"y = {epilogue.format(call)}; return y", **weights)


CONVOLUTIONS = {  # input, weight, attributes, words that the kernel's source must have, layout
    "one channel": ("f32[2,1,9,7]", "f32[5,1,3,3]", "pad=1", ("'FLAT': True",), ""),
    "three channels, stride 2": ("f32[1,3,15,13]", "f32[8,3,7,7]", "stride=2, pad=3", ("'FLAT': True",), ""),
    "odd channels": ("f32[2,17,7,9]", "f32[13,17,3,3]", "pad=1", ("'FLAT': False",), ""),
    "stride beyond the window": ("f32[1,18,11,13]", "f32[6,18,2,1]", "stride=[3,4]", (IMPLICIT_GEMM,), ""),
    "dilated": ("f32[1,16,13,12]", "f32[8,16,3,3]", "pad=[2,3], dilation=[2,3]", (TILED,), ""),
    "grouped": ("f32[2,36,6,5]", "f32[20,18,3,3]", "pad=1, groups=2", (IMPLICIT_GEMM,), ""),
    "grouped, few channels": ("f32[2,8,6,5]", "f32[12,2,3,3]", "pad=1, groups=4", ("'FLAT': True",), ""),
    "one pixel": ("f32[3,32,1,1]", "f32[40,32,1,1]", "", (), ""),
    "pad beyond the image": ("f32[1,16,3,3]", "f32[4,16,3,3]", "pad=3", (TILED,), ""),
    "rectangular": ("f32[1,20,9,8]", "f32[7,20,1,5]", "pad=[0,2]", (TILED,), ""),
    "tail of channels": ("f32[1,40,8,8]", "f32[24,40,3,3]", "pad=1", (TILED,), ""),
    "several tiles": ("f32[2,32,20,20]", "f32[70,32,3,3]", "pad=1", (TILED,), ""),
    "tiled, stride 2": ("f32[2,32,12,16]", "f32[24,32,3,3]", "stride=2, pad=1", (TILED, "'SW': 2"), ""),
    "tiled, stride 2, no pad": ("f32[1,64,14,14]", "f32[8,64,1,1]", "stride=2", (TILED, "'SW': 2"), ""),
    "stride 2, odd image": ("f32[1,32,13,14]", "f32[24,32,3,3]", "stride=2, pad=1", (IMPLICIT_GEMM,), ""),
    "many pictures": ("f32[9,16,4,4]", "f32[16,16,3,3]", "pad=1", (TILED,), ""),
    "without layouts": ("f32[2,18,7,5]", "f32[9,18,3,3]", "pad=1", (IMPLICIT_GEMM,), "nchw"),
    "one axis": ("f32[2,18,21]", "f32[9,18,5]", "pad=2, stride=2", (IMPLICIT_GEMM,), ""),
    "depthwise": ("f32[2,20,9,8]", "f32[20,1,3,3]", "pad=1, groups=20", ("EACH",), ""),
    "depthwise, stride 2": ("f32[1,70,9,8]", "f32[70,1,3,3]", "pad=1, stride=2, groups=70", ("EACH",), ""),
    "depthwise, two each": ("f32[1,6,7,7]", "f32[12,1,5,3]", "pad=[2,1], groups=6", ("'EACH': 2",), ""),
    "depthwise, dilated": ("f32[1,16,9,9]", "f32[16,1,3,3]", "dilation=2, groups=16", ("EACH",), ""),
    "unequal pads": ("f32[2,18,7,5]", "f32[9,18,3,3]", "pad=[0,1,2,3], stride=2", (IMPLICIT_GEMM,), ""),
    "tiled, unequal pads": ("f32[2,32,12,16]", "f32[24,32,3,3]", "stride=2, pad=[0,0,1,1]", (TILED,), ""),
    "depthwise, unequal pads": ("f32[1,70,9,8]", "f32[70,1,3,3]", "pad=[0,0,1,1], stride=2, groups=70", ("EACH",), ""),
    "depthwise without layouts": ("f32[1,6,7,7]", "f32[6,1,3,3]", "pad=1, groups=6", ("EACH",), "nchw"),
}

POOLS = {
    "3x3 stride 2": ("f32[2,5,13,13]", "kernel=3, stride=2"),
    "2x2": ("f32[1,17,8,6]", "kernel=2, stride=2"),
    "rounded up": ("f32[1,3,10,9]", "kernel=3, stride=2"),
    "rounded down": ("f32[1,3,10,9]", 'kernel=3, stride=2, round="down"'),
    "padded": ("f32[2,6,7,8]", "kernel=3, stride=2, pad=1"),
    "unequally padded": ("f32[2,6,7,8]", "kernel=3, stride=2, pad=[2,0,1,2]"),
    "padded, overlapping": ("f32[1,4,7,7]", "kernel=3, stride=1, pad=1"),
    "rectangular": ("f32[1,4,9,7]", "kernel=[3,2], stride=[1,3], pad=[1,0]"),
    "stride beyond the window": ("f32[1,4,11,11]", "kernel=2, stride=4"),
    "whole image": ("f32[3,20,5,7]", ""),
    "whole image, large": ("f32[1,3,23,19]", ""),
    "one pixel": ("f32[2,7,1,1]", "kernel=1"),
    "one axis": ("f32[2,7,11]", "kernel=3, stride=2"),
}

NORMS = {
    "across": ("f32[2,13,5,4]", "size=5, alpha=0.5"),
    "across, wide": ("f32[1,3,4,3]", "size=7, alpha=2, beta=0.6, k=2"),
    "across, one channel": ("f32[1,1,4,3]", "size=3, alpha=1"),
    "within": ("f32[2,6,7,5]", 'size=3, alpha=0.5, region="within"'),
    "within, beyond the image": ("f32[1,2,3,3]", 'size=7, alpha=3, beta=0.5, region="within"'),
}

UNFOLDED = {
    "rows": ("f32[2,3,9,8]", "kernel=[1,7], stride=[1,2], pad=[0,3], channels=24"),
    "windows": ("f32[1,5,7,6]", "kernel=[3,2], stride=2, pad=[1,0], dilation=[1,2]"),
    "unequal pads": ("f32[1,4,6,5]", "kernel=3, pad=[2,0,1,1], channels=40"),
    "one axis": ("f32[2,7,11]", "kernel=3, stride=2"),
}

CHAINS = {
    "relu": ("f32[3,5,7,9]", "y = relu(x)", {}),
    "leaky": ("f32[3,5,7]", "y = relu(x, slope=0.1)", {}),
    "scalar rank": ("f32[1]", "y = relu(x)", {}),
    "prelu": ("f32[2,5,7,9]", "y = prelu(x, s)", {"s": "f32[5]"}),
    "prelu, one slope": ("f32[2,5,7,9]", "y = prelu(x, s)", {"s": "f32[]"}),
    "scale and bias": ("f32[2,33,4,4]", "y = scale(x, g, h)", {"g": "f32[33]", "h": "f32[33]"}),
    "scale of the last axes": ("f32[2,3,4,5]", "y = scale(x, g, axis=2)", {"g": "f32[4,5]"}),
    "scale of the first axis": ("f32[6,3,4]", "y = scale(x, g, axis=0)", {"g": "f32[6]"}),
    "scale of both ends": ("f32[6,3,4,5]", "y = scale(scale(x, g, axis=0), h, axis=3)", {"g": "f32[6]", "h": "f32[5]"}),
    "batch norm": ("f32[2,5,3,3]", "y = batch_norm(x, m, variance)", {"m": "f32[5]", "variance": "f32[5]"}),
    "weighted sum": ("f32[2,5,7,9]", "a = sigmoid(x); y = add(a, x, alpha=2, beta=-0.5)", {}),
    "long": (
        "f32[2,6,5,5]",
        "a = tanh(x); b = mul(a, x); c = elu(b); d = max(c, x); e = abs(d); y = power(e, shift=1)",
        {},
    ),
    "mish and hard swish": ("f32[2,5,7,9]", "y = hard_swish(mish(x))", {}),
    "more than a block": ("f32[2,3,40,41]", "y = sigmoid(x)", {}),
}

EPILOGUES = {
    "relu": "relu({})",
    "leaky, then scale": "scale(relu({}, slope=0.1), g, h)",
    "mish": "mish({})",
    "hard swish, then scale": "scale(hard_swish({}), g, h)",
    "residual": "relu(add({}, r))",
    "residual twice": "add(tanh(add({}, r)), r, beta=0.5)",
    "by rows and columns": "scale({}, v, axis=2)",
    "by pictures": "scale({}, q, axis=0)",
}

SLICES = {  # input, weight, attributes, cut points
    "tiled": ("f32[2,32,6,5]", "f32[40,32,3,3]", "pad=1", "[8,24]"),
    "tiled, at odd places": ("f32[1,16,9,8]", "f32[70,16,1,1]", "", "[3,66]"),
    "implicit-GEMM": ("f32[2,17,7,9]", "f32[13,17,3,3]", "pad=1, stride=2", "[1,6,7]"),
    "few channels": ("f32[1,3,8,8]", "f32[24,3,3,3]", "stride=2", "[16]"),
    "grouped": ("f32[2,36,6,5]", "f32[20,18,3,3]", "pad=1, groups=2", "[4,15]"),
    "depthwise": ("f32[1,70,6,5]", "f32[70,1,3,3]", "pad=1, groups=70", "[6,65]"),
    "one axis": ("f32[2,18,21]", "f32[9,18,5]", "pad=2", "[4]"),
}

COPIES = {
    "concat": "a = relu(x); b = abs(x); y = concat(x, a, b, x); return y",
    "concat along the height": "a = relu(x); y = concat(x, a, axis=2); return y",
    "concat along the pictures": "a = relu(x); y = concat(a, x, axis=0); return y",
    "concat along the width": "a = relu(x); y = concat(a, x, axis=3); return y",
    "slice": "a, b = slice(x, points=2); return a, b",
    "slice of what is computed": "c = relu(x); a, b = slice(c, points=3); return a, b",
    "slice along the height": "a, b, c = slice(x, axis=2, points=[1,4]); return a, b, c",
    "slice and join": "c = abs(x); a, b = slice(c, points=2); y = concat(b, a); return y",
    "transpose": "y = transpose(x, order=[0,2,3,1]); return y",
    "transpose all": "a = abs(x); y = transpose(a, order=[3,1,0,2]); return y, a",
    "crop": "a = max_pool(x, kernel=2, stride=2); y = crop(x, a, offset=[2,1]); return y",
    "crop channels": "a = abs(x); y = crop(a, axis=1, offset=[1,0,2], sizes=[3,4,1]); return y, a",
    "flatten": "y = flatten(x); return y",
    "flatten of what is computed": "a = abs(x); y = flatten(a); return y, a",
    "reshape": "a = relu(x); y = reshape(a, shape=[0,-1]); return y",
}


def convolution_cases() -> Iterator[tuple[str, KernelCase]]:
    for precision, target in PRECISIONS.items():
        for name, (x, w, attributes, words, layout) in CONVOLUTIONS.items():
            tiled = TILED in words
            words = (IMPLICIT_GEMM,) if tiled and precision == "strict" else words if precision == "f32" else ()
            yield f"conv/{precision}/{name}", KernelCase(conv(x, w, attributes, "relu({})"), target, layout, words)
        yield f"conv/{precision}/without bias", KernelCase(conv("f32[1,16,5,5]", "f32[8,16,3,3]", bias=False), target)
    odd = conv("f32[1,3,6,5]", "f32[4,3,2,3]")  # NaN and infinities must only affect their windows
    yield "conv/f32/infinities", KernelCase(odd, special=True)
    for name, (x, w, attributes, words, _) in CONVOLUTIONS.items():
        if TILED in words:
            yield f"conv/sm_80/{name}", KernelCase(conv(x, w, attributes), architecture="sm_80")


def epilogue_cases() -> Iterator[tuple[str, KernelCase]]:
    for name, epilogue in EPILOGUES.items():
        for anchor, x, shape in (("conv", "f32[2,18,6,5]", "2,7,6,5"), ("depthwise", "f32[2,7,6,5]", "2,7,6,5")):
            w, more = ("f32[7,18,3,3]", "pad=1") if anchor == "conv" else ("f32[7,1,3,3]", "pad=1, groups=7")
            extra = {"g": "f32[7]", "h": "f32[7]", "v": "f32[6,5]", "q": "f32[2]", "r": f"f32[{shape}]"}
            used = {n: t for n, t in extra.items() if f" {n})" in epilogue or f" {n}," in epilogue}
            text = net(x, f"y = {epilogue.format(f'conv(x, w, {more})')}; return y", w=w, **used)
            yield f"epilogue/{anchor}/{name}", KernelCase(text)


def slice_cases() -> Iterator[tuple[str, KernelCase]]:
    for name, (x, w, attributes, points) in SLICES.items():
        names = ", ".join("pqrs"[: points.count(",") + 2])
        call = f"conv(x, w, b{', ' * bool(attributes)}{attributes})"
        weights = {"w": w, "b": f"f32[{w.split('[')[1].split(',')[0]}]"}
        text = net(x, f"{names} = slice(relu({call}), points={points}); return {names}", **weights)
        for precision, target in PRECISIONS.items():
            yield f"slices/{precision}/{name}", KernelCase(text, target, kernels=("tl.store(", "_slice_"))
        if name.startswith("tiled"):
            yield f"slices/sm_80/{name}", KernelCase(text, architecture="sm_80", kernels=("_slice_",))
        joined = f"p, q = slice(tanh({call}), points={points[1:-1].split(',')[0]}); y = concat(sigmoid(q), p)"
        yield f"slices/in place/{name}", KernelCase(net(x, f"{joined}; return y", **weights))


def merged_cases() -> Iterator[tuple[str, KernelCase]]:
    merged = (
        "a = relu(conv(x, u)); b = relu(conv(x, v)); c = conv(x, w); d = conv(a, t, pad=1); y = concat(b, add(c, d))"
    )
    shapes = {"u": "f32[16,32,1,1]", "v": "f32[24,32,1,1]", "w": "f32[8,32,1,1]", "t": "f32[8,16,3,3]"}
    for precision, target in PRECISIONS.items():
        text = net("f32[2,32,6,5]", f"{merged}; return y", **shapes)
        yield f"merged/{precision}", KernelCase(text, target, kernels=("conv_at_least_slice_",))
    yield (
        "merged/infinities",
        KernelCase(
            net("f32[1,2,4,4]", f"{merged}; return y", **{n: t.replace(",32,", ",2,") for n, t in shapes.items()}),
            special=True,
        ),
    )


def pool_cases() -> Iterator[tuple[str, KernelCase]]:
    for kind in ("max", "avg"):
        for name, (x, attributes) in POOLS.items():
            for layout in ("nchw", "nhwc") if x.count(",") == 3 else ("",):
                text = net(x, f"y = relu({kind}_pool(x{', ' * bool(attributes)}{attributes})); return y")
                yield f"{kind}_pool/{layout or 'plain'}/{name}", KernelCase(text, layout=layout)


def mask_and_f16_pool_cases() -> Iterator[tuple[str, KernelCase]]:
    for name in ("3x3 stride 2", "padded", "whole image, large"):
        x, attributes = POOLS[name]
        text = net(x, f"y, m = max_pool(x, mask=true{', ' * bool(attributes)}{attributes}); return y, m")
        yield f"max_pool/mask/{name}", KernelCase(text, layout="nhwc")
        yield (
            f"max_pool/f16/{name}",
            KernelCase(net(x, f"y = max_pool(x, {attributes or 'stride=1'}); return y"), "cuda-f16"),
        )
        yield (
            f"avg_pool/f16/{name}",
            KernelCase(net(x, f"y = avg_pool(x, {attributes or 'stride=1'}); return y"), "cuda-f16"),
        )
    planes = net("f32[1,4,50,60]", "y, m = max_pool(x, kernel=2, stride=2, mask=true); return m")
    yield "max_pool/mask/f16", KernelCase(planes, "cuda-f16", layout="nhwc")  # indices above 2048 do not fit f16
    yield (
        "avg_pool/image only",
        KernelCase(net("f32[1,4,7,8]", "y = avg_pool(x, kernel=3, pad=1, include_pad=false); return y")),
    )


def unfolded_cases() -> Iterator[tuple[str, KernelCase]]:
    for name, (x, attributes) in UNFOLDED.items():
        for layout in ("nchw", "nhwc"):
            text = net(x, f"y = im2col(x, {attributes}); return y")
            yield f"im2col/{layout}/{name}", KernelCase(text, layout=layout, kernels=("im2col",))
    first = conv("f32[1,3,410,322]", "f32[4,3,3,3]", "pad=1", "relu({})")
    yield "im2col/f16/first convolution", KernelCase(first, "cuda-f16", kernels=("im2col", TILED))


def norm_cases() -> Iterator[tuple[str, KernelCase]]:
    for name, (x, attributes) in NORMS.items():
        for layout in ("nchw", "nhwc"):
            yield f"lrn/{layout}/{name}", KernelCase(net(x, f"y = lrn(x, {attributes}); return y"), layout=layout)
    yield "lrn/infinite k", KernelCase(net("f32[1,3,2,2]", "y = lrn(x, size=3, k=inf); return y"))
    yield "lrn/f16", KernelCase(net("f32[2,13,5,4]", "y = lrn(x, size=5, alpha=0.5); return y"), "cuda-f16")


def chain_cases() -> Iterator[tuple[str, KernelCase]]:
    for name, (x, body, weights) in CHAINS.items():
        for layout in ("nchw", "nhwc") if x.count(",") == 3 else ("",):
            text = net(x, f"{body}; return y", **weights)
            yield f"chain/{layout or 'plain'}/{name}", KernelCase(text, layout=layout, special=name == "relu")
    yield "chain/f16", KernelCase(net("f32[2,5,7,9]", "y = prelu(sigmoid(x), s); return y", s="f32[5]"), "cuda-f16")


def softmax_cases() -> Iterator[tuple[str, KernelCase]]:
    for x, axis in (("f32[5,10]", 1), ("f32[3,7,4,5]", 1), ("f32[3,7,4,5]", -1), ("f32[2,1500]", 1), ("f32[1,1]", 1)):
        for layout in ("nchw", "nhwc") if x.count(",") == 3 else ("",):
            name = f"softmax/{layout or 'plain'}/{x} {axis}"
            yield name, KernelCase(net(x, f"y = softmax(x, axis={axis}); return y"), layout=layout)
    first = (
        "a = power(x, scale=0, shift=-inf); y = softmax(concat(a, x)); return y"  # a whole block of minus infinities
    )
    yield "softmax/minus infinities first", KernelCase(net("f32[2,1100]", first))
    yield "softmax/f16", KernelCase(net("f32[3,77]", "y = softmax(x); return y"), "cuda-f16")


def linear_cases() -> Iterator[tuple[str, KernelCase]]:
    for precision, target in PRECISIONS.items():
        for x, w, more in (
            ("f32[1,300]", "f32[10,300]", ""),
            ("f32[70,33]", "f32[90,33]", ""),
            ("f32[3,2,4,5]", "f32[6,40]", ""),
            ("f32[3,4,5]", "f32[6,5]", "axis=2"),
            ("f32[5,20]", "f32[20,7]", "transpose=true"),
        ):
            o = w[4:-1].split(",")[1 if "transpose" in more else 0]
            call = f"linear(x, w, b{', ' * bool(more)}{more})"
            text = net(x, f"y = tanh(scale({call}, g, axis=-1)); return y", w=w, b=f"f32[{o}]", g=f"f32[{o}]")
            yield f"linear/{precision}/{x} {w} {more}".rstrip(), KernelCase(text, target)


def copy_cases() -> Iterator[tuple[str, KernelCase]]:
    for name, body in COPIES.items():
        for layout in ("nchw", "nhwc") if "flatten" not in name and "reshape" not in name else ("nchw",):
            yield f"copy/{layout}/{name}", KernelCase(net("f32[2,5,6,3]", body), layout=layout)
    yield (
        "copy/relayout",
        KernelCase(net("f32[2,33,7,9]", "y = max_pool(x, kernel=2); z = conv(y, w); return z", w="f32[4,33,1,1]")),
    )
    yield (
        "copy/relayout back",
        KernelCase(net("f32[2,18,7,9]", "z = conv(x, w); y = flatten(z); return y", w="f32[35,18,1,1]")),
    )
    yield (
        "copy/concat of convolutions",
        KernelCase(
            net(
                "f32[2,16,6,5]",
                "a = relu(conv(x, v)); b = relu(conv(x, w, pad=1)); c = concat(a, b); y = max_pool(c, kernel=2); "
                "return y, c",
                v="f32[6,16,1,1]",
                w="f32[10,16,3,3]",
            )
        ),
    )


FAMILIES = (
    convolution_cases,
    epilogue_cases,
    slice_cases,
    merged_cases,
    pool_cases,
    mask_and_f16_pool_cases,
    unfolded_cases,
    norm_cases,
    chain_cases,
    softmax_cases,
    linear_cases,
    product_cases,
    resized_cases,
    copy_cases,
)
CASES = dict(case for family in FAMILIES for case in family())
