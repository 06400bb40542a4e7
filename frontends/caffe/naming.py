"""Names a net's values: the last value of each blob has the blob's name, which all passes preserve.

The values of a blob that is written in place are `conv1.0`, `conv1.1`, ..., `conv1`. Intermediate values of a layer are
named after its top: `norm.a`, `norm.b`. Inputs and weights keep their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...compiler.ir import Graph, Value
from ...compiler.rewrite import UniqueNames, Writer


def name_values(graph: Graph, versions: Sequence[tuple[str, Value]]) -> Graph:
    """Rename the graph's values. `versions`: blob name and value of each write to a blob, in order."""
    names = UniqueNames()
    for value in (*graph.inputs, *graph.constants):
        names.fresh(value.name)
    inputs = set(graph.inputs)
    writes: dict[str, list[Value]] = {}
    for blob, value in versions:
        if value not in inputs:
            writes.setdefault(blob, []).append(value)
    called = choose_names(graph, writes, names)
    writer = Writer(graph)
    for node in graph.nodes:
        for value in node.results:
            writer[value] = replace(value, name=called[value])
        results = tuple(writer[v] for v in node.results)
        writer.add(replace(node, inputs=tuple(writer[v] for v in node.inputs), results=results))
    return writer.finish()


def choose_names(graph: Graph, writes: Mapping[str, Sequence[Value]], names: UniqueNames) -> dict[Value, str]:
    """A name for every result: of its blob, or else after the next result that has a blob."""
    wanted: dict[Value, str] = {}
    for blob, values in writes.items():
        for i, value in enumerate(values):
            wanted.setdefault(value, blob if i == len(values) - 1 else f"{blob}.{i}")
    last = {values[-1]: blob for blob, values in writes.items()}
    called = {v: names.fresh(blob) for v, blob in last.items() if wanted[v] == blob}
    pending: list[Value] = []
    for value in (v for node in graph.nodes for v in node.results):
        if value not in wanted:
            pending.append(value)
            continue
        if value not in called:
            called[value] = names.fresh(wanted[value])
        for i, inner in enumerate(pending):
            called[inner] = names.fresh(f"{wanted[value]}.{'abcdefghijklmnopqrstuvwxyz'[i % 26]}")
        pending.clear()
    for i, inner in enumerate(pending):
        called[inner] = names.fresh(f"tail.{i}")
    return called
