"""Bounds for the input sizes that vary from call to call, with room to grow."""

from __future__ import annotations

from .plan import Dim, Shape

Key = tuple[Shape, ...]  # the shapes of all inputs, in the plan's order
Axes = frozenset[tuple[int, int]]  # an input's index, and one of its axes


class BoundedSizes:
    """Which axes of a net's inputs vary, as far as is known, and what their bounds should be.

    `first` are the shapes in the net's file. Axes that were rejected, alone or among others, are not proposed again.
    """

    def __init__(self, first: Key) -> None:
        self.first = self.largest = first
        self.axes: Axes = frozenset()
        self.rejected: set[Axes] = set()

    def differing(self, key: Key) -> Axes:
        """The axes that vary if these shapes are met, too."""
        pairs = enumerate(zip(self.first, key, strict=True))
        return self.axes | {(i, a) for i, (old, new) in pairs for a in range(len(new)) if old[a] != new[a]}

    def propose(self, key: Key) -> tuple[tuple[Dim, ...], ...] | None:
        """Dimensions of all inputs that hold these shapes and half as much again; None if that was rejected."""
        axes = self.differing(key)
        if any(rejected <= axes for rejected in self.rejected):
            return None
        largest = larger(self.largest, key)
        return tuple(
            tuple(f"?{n + (n + 1) // 2}" if (i, a) in axes else n for a, n in enumerate(shape))
            for i, shape in enumerate(largest)
        )

    def accept(self, key: Key) -> None:
        """Note that the net takes bounds along these axes."""
        self.axes, self.largest = self.differing(key), larger(self.largest, key)

    def reject(self, key: Key) -> None:
        """Note that the net takes no bounds along these axes: a layer needs to know their sizes."""
        self.rejected.add(self.differing(key))


def larger(a: Key, b: Key) -> Key:
    return tuple(tuple(map(max, old, new)) for old, new in zip(a, b, strict=True))
