"""The result for each file of the zoo, and the table of all files (docs/zoo.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cortado.tests.shared import SHARED

ZOO = SHARED / "zoo"
MATCHED, COMPILED, DIFFERS, REFUSED, BROKEN = "matches Caffe", "compiles", "DIFFERS", "refused", "FAILS"

NOTES = {
    "ssd--deepdetect__templates__caffe__resnet_34_ssd__deploy": "dozens of scores are almost 1: which box comes first, "
    "and so suppresses others, depends on the last bit of a softmax",
    "segnet--deepdetect__templates__caffe__segnet__deploy": "in a few windows of its poolings two elements are almost "
    "equal: which one is the maximum, and so its index, depends on the last bits; in float64 all blobs agree",
    "tsn--temporal-segment-networks__models__hmdb51__tsn_bn_inception_flow_deploy": "these are the numbers of a fork "
    "whose BN has two blobs; its published caffemodel has four, and is computed with four",
}


@dataclass(frozen=True)
class ZooEntry:
    """One file of the zoo. `golden_source`: what computed its numbers, "Caffe" or "its fork"; "" without numbers."""

    name: str
    kind: str
    golden_source: str

    @property
    def path(self) -> Path:
        return ZOO / "prototxt" / f"{self.name}.prototxt"


@dataclass(frozen=True)
class ZooRow:
    """The result for a file. `worst`: the largest difference from Caffe, relative to a blob's root mean square."""

    entry: ZooEntry
    verdict: str
    detail: str
    worst: float = 0.0
    has_known_types: bool = False  # refused, although all its layer types are known


def table(rows: Iterable[ZooRow]) -> str:
    rows = list(rows)
    counts = Counter((row.verdict, row.entry.golden_source) for row in rows)
    lines = [
        "# The zoo: published prototxts in cortado",
        "",
        "Written by `python -m benchmarks.zoo`. Differences are the largest of any blob,",
        "relative to its root mean square.",
        "",
        "| | numbers by Caffe or the SSD fork | numbers by another fork | none |",
        "|---|---|---|---|",
    ]
    for verdict in (MATCHED, COMPILED, DIFFERS, REFUSED, BROKEN):
        cells = [counts[verdict, who] for who in ("Caffe", "its fork", "")]
        if any(cells):
            lines.append(f"| {verdict} | {' | '.join(map(str, cells))} |")
    lines += ["", "Deploy files that are refused although all their layer types are known, with the reason:", ""]
    lines += [
        f"- {r.entry.name}: {escape_cell(r.detail)}" for r in rows if r.has_known_types and r.entry.kind == "deploy"
    ]
    lines += ["", "| file | kind | numbers by | result | |", "|---|---|---|---|---|"]
    for row in rows:
        off = f", at most {row.worst:.0e} off" if row.verdict in (MATCHED, DIFFERS) else ""
        note = f"; {NOTES[row.entry.name]}" if row.entry.name in NOTES else ""
        detail = escape_cell(f"{row.detail}{off}{note}")
        lines.append(f"| {row.entry.name} | {row.entry.kind} | {row.entry.golden_source} | {row.verdict} | {detail} |")
    return "\n".join(lines) + "\n"


def escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
