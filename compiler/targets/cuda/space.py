"""Where an element of a result is, in a template's words, and where an operand of its shape has the same element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import Unsupported
from .view import View

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """The coordinates that an epilogue is given, each with the result's axes that it runs over, and its mask."""

    result: View
    axes: Mapping[str, Axes]
    masks: Mapping[str, str]

    def operand_strides(self, operand: View, start: int | None) -> dict[str, int] | None:
        """Coordinate by coordinate the operand's stride, where it has one; None if it cannot be said so.

        `start` is the result's axis at which the operand's shape begins; None if it has the whole shape.
        """
        begin = start or 0
        covered = range(begin, begin + len(operand.shape))
        found = {}
        for name, axes in self.axes.items():
            mine = [a - begin for a in axes if a in covered]
            if not mine:
                continue
            whole = len(mine) == len(axes) or all(self.result.shape[a] == 1 for a in axes if a not in covered)
            stride = operand.merged_stride(mine)
            if not whole or stride is None:
                return None
            found[name] = stride
        return found


def image_space(result: View) -> Space:
    """Pictures, rows, columns and channels; of [n, c, w] all in row 0."""
    rank = len(result.shape)
    axes = {"picture": (0,), "row": (2,) if rank == 4 else (), "column": (rank - 1,), "channel": (1,)}
    return Space(result, axes, dict.fromkeys(("picture", "row", "column"), "pixels") | {"channel": "channels"})


def row_space(result: View) -> Space:
    """All axes but the last as rows, the last as channels."""
    last = len(result.shape) - 1
    axes = {"row": tuple(range(last)), "channel": (last,)}
    return Space(result, axes, {"row": "rows", "channel": "channels"})


def collapsed_space(result: View, operands: Sequence[tuple[View, int | None]]) -> Space:
    """As few coordinates i0 … i3 as the result and all operands can be run over by, in the order in which it lies.

    Unsupported if four do not suffice.
    """
    order = memory_order(result)
    groups = collapse_axes(result, operands, order)
    if len(groups) > 4:
        groups = collapse_axes(result, operands, [a for a in order if result.shape[a] > 1])
    if len(groups) > 4:
        raise Unsupported(f"a value of shape {list(result.shape)} lies in more pieces than a kernel can run over")
    axes = {f"i{k}": group for k, group in enumerate(groups)}
    return Space(result, axes, dict.fromkeys(axes, "real"))


def memory_order(view: View) -> list[int]:
    """The axes, outermost in memory first."""
    return sorted(range(len(view.shape)), key=lambda a: (-view.strides[a], a))


def collapse_axes(result: View, operands: Sequence[tuple[View, int | None]], order: Sequence[int]) -> list[Axes]:
    """Neighbours in memory become one coordinate where everybody can step over them as one."""
    groups: list[Axes] = []
    for axis in order:
        if groups and all(can_collapse(v, s, groups[-1], axis) for v, s in ((result, None), *operands)):
            groups[-1] = (*groups[-1], axis)
        else:
            groups.append((axis,))
    return groups


def can_collapse(view: View, start: int | None, outer: Axes, axis: int) -> bool:
    """True if the view can run over `outer` and then `axis` as one, or has none of both."""
    begin = start or 0
    covered = range(begin, begin + len(view.shape))
    if outer[-1] not in covered or axis not in covered:
        return outer[-1] not in covered and axis not in covered
    return view.merged_stride([a - begin for a in (*outer, axis)]) is not None
