"""Generates the kernel of a node: its source, its launch arguments, and the axis order of its packed weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import Unsupported
from ...ir import Graph, Node, Value
from ...op import Elementwise, Op
from ...ops.conv import Conv, Deconv, Im2col
from ...ops.dense import Linear, Softmax
from ...ops.indexing import Crop, Flip, Tile, Transpose
from ...ops.norm import L2Normalize, Lrn
from ...ops.pool import AvgPool, MaxPool
from ...ops.reduce import Argmax, Reduce, Standardize
from ...ops.resize import Interp, Upsample
from ...ops.shape import Concat, Relayout, Slice
from . import copies, resizing, rows, source, windows
from .convolution import lower_convolution
from .deconvolution import lower_deconvolution
from .epilogue import reason_not_readable
from .hardware import LARGEST_GRID
from .kernel_spec import KernelProblem, KernelSpec
from .linear import lower_linear
from .space import collapsed_space, image_space, row_space
from .view import View, strides

Family = Callable[[KernelProblem], Sequence[KernelSpec]]
FAMILIES: dict[type[Op], Family] = {
    Conv: lower_convolution,
    Deconv: lower_deconvolution,
    Linear: lower_linear,
    Softmax: rows.lower_softmax,
    L2Normalize: rows.lower_l2_normalize,
    Standardize: rows.lower_standardize,
    Reduce: rows.lower_reduce,
    Argmax: rows.lower_argmax,
    Interp: resizing.lower_interp,
    Upsample: resizing.lower_upsample,
    MaxPool: windows.lower_pool,
    AvgPool: windows.lower_pool,
    Im2col: windows.lower_im2col,
    Lrn: windows.lower_lrn,
    Relayout: copies.lower_relayout,
    Concat: copies.lower_concat,
    Slice: copies.lower_slice,
    Transpose: copies.lower_transpose,
    Crop: copies.lower_crop,
    Flip: copies.lower_flip,
    Tile: copies.lower_tile,
}
ANCHORS = (Conv, Deconv, Linear, MaxPool, AvgPool)  # whose kernels have an epilogue
FUSIBLE_DTYPES = ("f32", "f16")


@dataclass(frozen=True, slots=True)
class GeneratedKernel:
    """A kernel's name, its source, and the spec that it was generated from."""

    name: str
    text: str
    spec: KernelSpec


def lower(work: KernelProblem) -> tuple[GeneratedKernel, ...]:
    """The ways to launch a kernel, the newest architecture's first.

    None at all if its results stand there already, or are empty. Unsupported if there is no template for it.
    """
    if not any(view.numel for view in work.results):
        return ()
    family = family_of(work.anchor)
    if family is None:
        raise Unsupported(f"the cuda target has no kernel for {work.anchor.op.name}", work.anchor.loc)
    try:
        specs = without_large_grids(family(work))
    except Unsupported as e:
        raise Unsupported(f"{work.anchor.op.name}: {e.message}", work.anchor.loc, advice=e.advice) from None
    if work.settings.overlaps:
        specs = [one for spec in specs for one in spec.allow_overlap()]
    return tuple(GeneratedKernel(*source.render_source(spec, work.kernel), spec) for spec in specs)


def without_large_grids(specs: Sequence[KernelSpec]) -> Sequence[KernelSpec]:
    """The specs that CUDA can launch. Unsupported if it cannot launch the first of them."""
    fitting = [spec for spec in specs if all(n <= most for n, most in zip(spec.grid, LARGEST_GRID, strict=True))]
    if specs and specs[0] not in fitting:
        raise Unsupported(
            f"a grid of {list(specs[0].grid)} is needed, and CUDA's largest is {list(LARGEST_GRID)}",
            advice="Compile for smaller inputs (--shape), or for cpu.",
        )
    return fitting


def family_of(node: Node) -> Family | None:
    if isinstance(node.op, Elementwise):
        return copies.lower_elementwise
    return copies.lower_reshape if node.op.is_reinterpretation else FAMILIES.get(type(node.op))


def reason_not_fused(kernel: Graph) -> str | None:
    """The reason why the nodes after the first cannot be the kernel's epilogue; None if they can."""
    anchor, *epilogue = kernel.nodes
    if not isinstance(anchor.op, (*ANCHORS, Elementwise)) or len(anchor.results) > 1:
        return f"{anchor.op.name} has no epilogue on this target"
    others = [
        v for v in (*kernel.inputs, *kernel.outputs) if v.type.dtype not in FUSIBLE_DTYPES or not v.type.is_static
    ]
    if others:
        return f"{others[0].type} is not fused"
    if epilogue[-1].slice_ranges:
        *epilogue, _ = epilogue
        if not isinstance(anchor.op, Conv):
            return f"{anchor.op.name} cannot write the parts of a slice"
    views = {v: default_view(v) for v in kernel.inputs}
    result = default_view(anchor.results[0])
    if isinstance(anchor.op, Elementwise):
        collapsed_space(result, [])
        return None
    if not isinstance(anchor.op, Linear) and len(result.shape) not in (3, 4):
        return "there are kernels for images of one or two axes only"
    space = row_space(result) if isinstance(anchor.op, Linear) else image_space(result)
    return reason_not_readable(epilogue, space, views)


def default_view(value: Value) -> View:
    """A contiguous view of a value in its layout."""
    shape = value.type.shape
    return View(value.type.dtype, shape, strides(shape, 1 if value.layout == "nhwc" else None))
