"""The table of docs/edge_values.md: what Caffe makes of each edge value, and where cortado has another number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .cases import CASES, EDGES, EdgeCase
from .nets import nets_of


def rows() -> Iterator[tuple[str, ...]]:
    """A row for each case: its name, and for each edge value the result at the place that the case shows."""
    for name, case in CASES.items():
        expected = nets_of(case)["alone"].expected
        yield name, *(cell_text(case, edge, expected[(n, *case.cell)]) for n, edge in enumerate(EDGES))


def cell_text(case: EdgeCase, edge: str, caffes: np.float32) -> str:
    """Caffe's number, and in bold what stands here in its place."""
    here = case.differs.get(edge)
    if here is None:
        return number_text(caffes)
    return f"{number_text(caffes)} (**here {here if isinstance(here, str) else number_text(np.float32(here))}**)"


def number_text(number: np.float32) -> str:
    if np.isnan(number):
        return "NaN"
    if np.isinf(number):
        return "+inf" if number > 0 else "−inf"
    if abs(number) == np.finfo(np.float32).max:
        return "FLT_MAX" if number > 0 else "−FLT_MAX"
    if number == 0:
        return "−0" if np.signbit(number) else "0"
    return "denormal" if abs(number) < np.finfo(np.float32).tiny else f"{number:.4g}".replace("-", "−")
