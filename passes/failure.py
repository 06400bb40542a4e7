"""The exception for a pass that failed, with the net it failed on, so that the failure can be reproduced."""

from __future__ import annotations

from ..compiler.plan import PlannedGraph


class PassFailed(Exception):
    """A bug in a pass, not an error in the net. `planned` is the net before the pass; `__cause__` is what it raised.

    `folder` is the folder with a reproducer, or "" if none was written.
    """

    def __init__(self, name: str, planned: PlannedGraph, cause: Exception) -> None:
        net = planned.graph.name
        super().__init__(f"the pass {name} failed on the net {net}: {type(cause).__name__}: {cause}")
        self.name, self.planned, self.folder = name, planned, ""
