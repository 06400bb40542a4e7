"""A pass that failed, with the net that it failed on: enough to see it fail again."""

from __future__ import annotations

from ..compiler.plan import PlannedGraph


class PassFailed(Exception):
    """A fault of a pass, not of the net. `planned` is the net before it; the cause is what it raised.

    `folder` is where whoever ran the pass has written a reproducer, if it has.
    """

    def __init__(self, name: str, planned: PlannedGraph, cause: Exception) -> None:
        net = planned.graph.name
        super().__init__(f"the pass {name} failed on the net {net}: {type(cause).__name__}: {cause}")
        self.name, self.planned, self.folder = name, planned, ""
