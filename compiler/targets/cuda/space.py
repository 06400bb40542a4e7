"""The coordinates in which a template addresses its result, and the strides of operands along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import Unsupported
from .view import View

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """The coordinates passed to an epilogue, each with the result axes that it flattens, and the name of its mask."""

    result: View
    axes: Mapping[str, Axes]
    masks: Mapping[str, str]

    def operand_strides(self, operand: View, start: int | None) -> dict[str, int] | None:
        """The operand's stride by coordinate, where it has that axis; None if a coordinate has no single stride.

        `start` is the result axis at which the operand's shape begins; None if it has the shape of the result.
        """
        begin = start or 0
        covered = range(begin, begin + len(operand.shape))
        strides = {}
        for name, axes in self.axes.items():
            own = [a - begin for a in axes if a in covered]
            if not own:
                continue
            whole = len(own) == len(axes) or all(self.result.shape[a] == 1 for a in axes if a not in covered)
            stride = operand.merged_stride(own)
            if not whole or stride is None:
                return None
            strides[name] = stride
        return strides


def image_space(result: View) -> Space:
    """Coordinates picture, row, column and channel; for [n, c, w] the row is 0."""
    rank = len(result.shape)
    axes = {"picture": (0,), "row": (2,) if rank == 4 else (), "column": (rank - 1,), "channel": (1,)}
    return Space(result, axes, dict.fromkeys(("picture", "row", "column"), "pixels") | {"channel": "channels"})


def pixel_space(result: View) -> Space:
    """Coordinates row, over all pixels of all pictures, and channel."""
    axes = {"row": (0, *range(2, len(result.shape))), "channel": (1,)}
    return Space(result, axes, {"row": "rows", "channel": "channels"})


def row_space(result: View) -> Space:
    """Coordinates row, over all axes but the last, and channel, the last."""
    last = len(result.shape) - 1
    axes = {"row": tuple(range(last)), "channel": (last,)}
    return Space(result, axes, {"row": "rows", "channel": "channels"})


def collapsed_space(result: View, operands: Sequence[tuple[View, int | None]]) -> Space:
    """The fewest coordinates i0 … i3 along which the result and all operands have one stride, in memory order.

    Unsupported if four do not suffice.
    """
    order = memory_order(result)
    groups = collapse_axes(result, operands, order)
    if len(groups) > 4:
        groups = collapse_axes(result, operands, [a for a in order if result.shape[a] > 1])
    if len(groups) > 4:
        raise Unsupported(f"a value of shape {list(result.shape)} needs more than four strides; a kernel has four")
    axes = {f"i{k}": group for k, group in enumerate(groups)}
    return Space(result, axes, dict.fromkeys(axes, "real"))


def memory_order(view: View) -> list[int]:
    """The axes, outermost in memory first."""
    return sorted(range(len(view.shape)), key=lambda a: (-view.strides[a], a))


def collapse_axes(result: View, operands: Sequence[tuple[View, int | None]], order: Sequence[int]) -> list[Axes]:
    """Merge axes that are adjacent in `order` where the result and all operands have one stride over them."""
    groups: list[Axes] = []
    for axis in order:
        if groups and all(can_collapse(v, s, groups[-1], axis) for v, s in ((result, None), *operands)):
            groups[-1] = (*groups[-1], axis)
        else:
            groups.append((axis,))
    return groups


def can_collapse(view: View, start: int | None, outer: Axes, axis: int) -> bool:
    """True if the view has one stride over `outer` followed by `axis`, or has neither of them."""
    begin = start or 0
    covered = range(begin, begin + len(view.shape))
    if outer[-1] not in covered or axis not in covered:
        return outer[-1] not in covered and axis not in covered
    return view.merged_stride([a - begin for a in (*outer, axis)]) is not None
