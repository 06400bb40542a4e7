"""A pass that failed, with the net that it failed on: enough to see it fail again."""

from __future__ import annotations

from ..compiler.ir import Graph


class PassFailed(Exception):
    """A fault of a pass, not of the net. `graph` is the net before it; the cause is what it raised.

    `folder` is where whoever ran the pass has written a reproducer, if it has.
    """

    def __init__(self, name: str, graph: Graph, cause: Exception) -> None:
        super().__init__(f"the pass {name} failed on the net {graph.name}: {type(cause).__name__}: {cause}")
        self.name, self.graph, self.folder = name, graph, ""
