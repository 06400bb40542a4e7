"""A kernel as one launch on a GPU: its file, how it is launched, and how its weights have to lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import CompileError
from ..ir import Graph, Node, Value
from ..op import Elementwise, Op
from ..ops.conv import Conv
from ..ops.dense import Linear, Softmax
from ..ops.moving import Crop, Transpose
from ..ops.norm import Lrn
from ..ops.pool import AvgPool, MaxPool
from ..ops.shape import Concat, Relayout, Slice
from .gpu import moves, source, vectors, windows
from .gpu.convolution import convolution
from .gpu.draft import Draft, Work
from .gpu.epilogue import refused
from .gpu.space import images, rows, stored
from .gpu.view import View, strides

Family = Callable[[Work], Sequence[Draft]]
FAMILIES: dict[type[Op], Family] = {
    Conv: convolution,
    Linear: vectors.linear,
    Softmax: vectors.softmax,
    MaxPool: windows.pool,
    AvgPool: windows.pool,
    Lrn: windows.normalisation,
    Relayout: moves.relayout,
    Concat: moves.concat,
    Slice: moves.slices,
    Transpose: moves.transpose,
    Crop: moves.crop,
}
ANCHORS = (Conv, Linear, MaxPool, AvgPool)  # on whose result elementwise nodes ride
DTYPES = ("f32", "f16")


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel's name, its whole file, and the draft that it was written from."""

    name: str
    text: str
    draft: Draft


def lower(kernel: Graph, operands: Sequence[View], results: Sequence[View], strict: bool = False) -> tuple[Launch, ...]:
    """The ways to launch a kernel, the newest architecture's first; none at all if its results stand there already.

    CompileError if there is no template for it. `strict` asks for f32 without tensor cores.
    """
    work = Work(kernel, tuple(operands), tuple(results), strict)
    family = family_of(work.anchor)
    if family is None:
        raise CompileError(f"the cuda target has no kernel for {work.anchor.op.name}", work.anchor.loc)
    try:
        drafts = family(work)
    except CompileError as e:
        raise CompileError(f"{work.anchor.op.name}: {e.message}", work.anchor.loc, advice=e.advice) from None
    return tuple(Launch(*source.write(draft, kernel), draft) for draft in drafts)


def family_of(node: Node) -> Family | None:
    if isinstance(node.op, Elementwise):
        return moves.elementwise
    return moves.reshape if node.op.is_reinterpretation else FAMILIES.get(type(node.op))


def rides(kernel: Graph) -> str | None:
    """Why the nodes behind the first of a kernel cannot ride on it; None if they can."""
    anchor, *riders = kernel.nodes
    if not isinstance(anchor.op, (*ANCHORS, Elementwise)) or len(anchor.results) > 1:
        return f"nothing rides on {anchor.op.name}"
    others = [v for v in (*kernel.inputs, *kernel.outputs) if v.type.dtype not in DTYPES or not v.type.is_static]
    if others:
        return f"{others[0].type} is computed alone"
    if riders[-1].slice_ranges:
        *riders, _ = riders
        if not isinstance(anchor.op, Conv):
            return f"{anchor.op.name} is not written in pieces"
    views = {v: placed(v) for v in kernel.inputs}
    result = placed(anchor.results[0])
    if isinstance(anchor.op, Elementwise):
        stored(result, [])
        return None
    if not isinstance(anchor.op, Linear) and len(result.shape) not in (3, 4):
        return "there are kernels for images of one or two axes only"
    space = rows(result) if isinstance(anchor.op, Linear) else images(result)
    return refused(riders, space, views)


def placed(value: Value) -> View:
    """A value on its own, in its layout."""
    shape = value.type.shape
    return View(value.type.dtype, shape, strides(shape, 1 if value.layout == "nhwc" else None))
