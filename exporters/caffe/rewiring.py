"""Takes layers out of a net: whoever reads a removed layer's top reads its bottom, under one name for both.

That is right only where the two never differ afterwards. A layer that is computed in place behind one of them would
change the other too, and an output or an input of the net keeps its name; so what layers read is followed through the
net, with Caffe's storage of blobs, before and after.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ...frontends.caffe.net_layers import NetLayer

Write = tuple[object, int]  # who wrote a blob: the layer, and which of its tops it was


@dataclass
class Memory:
    """Storage of a blob, which others may share: who wrote it last."""

    written: Write


def name_blobs(layers: Sequence[NetLayer], removed: Collection[NetLayer], fixed: Collection[str]) -> dict[str, str]:
    """The name that each blob gets: that of the removed layers' bottom or, if one of its names is `fixed`, this one."""
    groups: dict[str, list[str]] = {}
    for layer in layers:
        bottoms, tops = layer.message["bottom"], layer.message["top"]
        for top in tops:
            groups.setdefault(top, [top])
        if layer in removed and bottoms[0] != tops[0]:
            group = groups.setdefault(bottoms[0], [bottoms[0]])
            group.append(tops[0])
            groups[tops[0]] = group
    named = {}
    for name, group in groups.items():
        named[name] = next((member for member in group if member in fixed), group[0])
    return named


def find_conflict(
    layers: Sequence[NetLayer], removed: Collection[NetLayer], names: Mapping[str, str], fixed: Collection[str]
) -> str:
    """A blob, by its old name, that another layer would find changed or that would lose its name; "" if none would."""
    if lost := [name for name in fixed if names.get(name, name) != name]:
        return lost[0]
    before = follow(layers, removed, {})
    after = follow([l for l in layers if l not in removed], (), names)
    for reader, bottoms in before.reads.items():
        names_read: tuple[str, ...] = reader.message["bottom"]
        for name, old, new in zip(names_read, bottoms, after.reads[reader], strict=True):
            if old != new:
                return name
    if lost := [name for name in fixed if before.end(name) != after.end(name)]:
        return lost[0]
    return "" if before.overwritten else after.overwritten


@dataclass
class Followed:
    """What the layers of a net read, and what its blobs are at the end: by whom they were written.

    `is_read`: blobs that were read since, so that they are no outputs. `overwritten` is a blob that is written in place
    though another layer reads it, which Caffe refuses; "" if none is. `aliased` are the removed layers in place whose
    blob shares its storage with another one.
    """

    reads: dict[NetLayer, list[Write]] = field(default_factory=dict)
    last: dict[str, Write] = field(default_factory=dict)
    is_read: dict[str, bool] = field(default_factory=dict)
    overwritten: str = ""
    aliased: list[NetLayer] = field(default_factory=list)

    def end(self, name: str) -> tuple[Write | None, bool]:
        """Who wrote a blob last, and whether it was read since."""
        return self.last.get(name), self.is_read.get(name, False)


def follow(layers: Sequence[NetLayer], removed: Collection[NetLayer], names: Mapping[str, str]) -> Followed:
    """Follow the blobs, renamed, through the layers; a removed layer copies its bottom."""
    memory, found = dict[str, Memory](), Followed()
    for layer in layers:
        bottoms, tops = (renamed(layer, field, names) for field in ("bottom", "top"))
        tops = [name for name, _ in layer.inputs] or tops
        read = [memory.setdefault(name, Memory((name, 0))) for name in bottoms]
        if layer in removed:
            if tops[0] != bottoms[0]:
                memory[tops[0]] = Memory(read[0].written)
            elif sum(m is read[0] for m in memory.values()) > 1:
                found.aliased.append(layer)
            continue
        found.reads[layer] = [m.written for m in read]
        for i, top in enumerate(tops):
            if top not in bottoms:
                memory[top] = read[0] if layer.shares and read else Memory((layer, i))
                continue
            if found.is_read.get(top):
                found.overwritten = found.overwritten or layer.message["top"][i]
            memory[top].written, found.is_read[top] = (layer, i), False
        found.is_read.update((name, True) for name in bottoms if name not in tops)
    found.last = {name: m.written for name, m in memory.items()}
    return found


def renamed(layer: NetLayer, field: str, names: Mapping[str, str]) -> list[str]:
    """The names of a layer's bottoms or tops."""
    return [names.get(name, name) for name in layer.message[field]]


def joining_layers(blob: str, layers: Sequence[NetLayer], removed: Collection[NetLayer]) -> list[NetLayer]:
    """The removed layers, the last first, that join blobs under the name that `blob` gets; or else all that join any.

    The blob may be changed through another one, whose storage it shares.
    """
    names = name_blobs(layers, removed, ())
    joining = [l for l in reversed(layers) if l in removed and l.message["top"] != l.message["bottom"]]
    return [l for l in joining if names[l.message["top"][0]] == names.get(blob, blob)] or joining
