"""Test cases for matrix products by TMA: divided inner loops, wide tiles, strides, infinities."""

from __future__ import annotations

from collections.abc import Iterator

from .prove import KernelCase, net

CONVOLUTIONS = {  # input, weight, attributes, words that the source must have
    "divided": ("f32[1,256,7,7]", "f32[64,256,3,3]", "pad=1", ("'SPLIT': 16",)),
    "divided, strided": ("f32[1,128,8,8]", "f32[40,128,3,3]", "pad=1, stride=2", ("'SPLIT': 12", "'SW': 2")),
    "divided, single pixels": ("f32[2,512,4,4]", "f32[70,512,1,1]", "", ("'SPLIT': 4",)),
    "wide": ("f32[3,64,40,41]", "f32[256,64,1,1]", "", ("'SPLIT': 1",)),
    "stride of rows": ("f32[2,24,12,10]", "f32[20,24,7,1]", "pad=[3,0], stride=[2,1]", ("'SH': 2", "'SW': 1")),
    "stride 3": ("f32[1,16,9,12]", "f32[20,16,4,3]", "pad=[2,1], stride=3", ("'SH': 3", "'SW': 3")),
    "stride 4 of rows, dilated": ("f32[1,16,16,9]", "f32[8,16,3,1]", "stride=[4,1], dilation=[3,1]", ("'SH': 4",)),
}
PRECISIONS = {"f32": "cuda", "f16": "cuda-f16"}


LINEARS = {  # data, weight, axis
    "one row": ("f32[1,2048]", "f32[64,2048]", 1),
    "several rows": ("f32[70,512]", "f32[33,512]", 1),
    "rows of two axes": ("f32[2,3,96]", "f32[200,96]", 2),
}


def product(x: str, w: str, call: str) -> str:
    """A net of one product with a bias and a ReLU."""
    return net(x, f"y = relu({call}); return y", w=w, b=f"f32[{w.split('[')[1].split(',')[0]}]")


def product_cases() -> Iterator[tuple[str, KernelCase]]:
    for precision, target in PRECISIONS.items():
        for name, (x, w, attributes, words) in CONVOLUTIONS.items():
            text = product(x, w, f"conv(x, w, b{', ' * bool(attributes)}{attributes})")
            yield f"product/{precision}/{name}", KernelCase(text, target, kernels=words if precision == "f32" else ())
        for name, (x, w, axis) in LINEARS.items():
            text = product(x, w, f"linear(x, w, b, axis={axis})")
            yield f"product/{precision}/linear, {name}", KernelCase(text, target, kernels=("multiply(acc, x.load",))
            yield f"product/{precision}/linear on sm_80, {name}", KernelCase(text, target, architecture="sm_80")
        for window in ("1,1", "3,3"):
            text = product("f32[1,16,6,5]", f"f32[8,16,{window}]", "conv(x, w, b)")
            yield f"product/{precision}/infinities, {window}", KernelCase(text, target, special=True)
            weights = product("f32[1,16,6,5]", f"f32[8,16,{window}]", "conv(abs(x), power(w, shift=inf), b)")
            yield f"product/{precision}/infinite weights, {window}", KernelCase(weights, target, special=True)
