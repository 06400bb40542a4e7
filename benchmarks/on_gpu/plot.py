"""The ratios of the peers' times to ours, as a drawing in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .journal import Row

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
BAR, GAP, LEFT, WIDTH, MARGIN = 12, 10, 190, 640, 20


def draw_ratios(peers: Sequence[Row]) -> str:
    """Bars by case, one for each peer; the line at 1 is our time, and longer bars mean that the peer is slower."""
    rows = [row for row in peers if row["who"] != "cortado"]
    names = list(dict.fromkeys(f"{row['who']} ({row['precision']})" for row in rows))
    cases = list(dict.fromkeys(row["case"] for row in rows))
    scale = (WIDTH - LEFT - 70) / max([1.5, *(row["ratio"] for row in rows)])
    shapes, y = list[str](), MARGIN
    for case in cases:
        own = [row for row in rows if row["case"] == case]
        shapes.append(text(LEFT - 8, y + len(own) * BAR / 2 + 4, case, "end"))
        for row in own:
            colour = COLOURS[names.index(f"{row['who']} ({row['precision']})") % len(COLOURS)]
            length = row["ratio"] * scale
            shapes.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            shapes.append(text(LEFT + length + 4, y + BAR - 3, f"{row['ratio']:.2f}"))
            y += BAR
        y += GAP
    line = LEFT + scale
    shapes.append(
        f'<line x1="{line:.1f}" y1="{MARGIN - 6}" x2="{line:.1f}" y2="{y}" stroke="black" stroke-dasharray="3"/>'
    )
    for number, name in enumerate(names):
        y += BAR + 4
        shapes.append(f'<rect x="{LEFT}" y="{y - 9}" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>')
        shapes.append(text(LEFT + 16, y, name))
    size = f'width="{WIDTH}" height="{y + MARGIN}"'
    style = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(shapes) + "\n</svg>\n"


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
