"""Two runs side by side: value by value in the order of the net, which is the first that differs, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..runtime.preprocess import Array


@dataclass(frozen=True, slots=True)
class Difference:
    """One value on both sides.

    `largest` is the largest magnitude on side a, `by` the largest difference, `at` where that is and `a`, `b` the two
    numbers there. `reason` says in words why it differs, "" if it does not.
    """

    name: str
    shape: tuple[int, ...]
    largest: float
    by: float
    at: tuple[int, ...]
    a: float
    b: float
    reason: str

    @property
    def relative(self) -> float:
        """The difference as a part of the largest number."""
        return self.by / self.largest if self.largest else self.by


@dataclass(frozen=True, slots=True)
class Comparison:
    """All values that both sides have, in order; the names that only one has; what is allowed as a difference."""

    sides: tuple[str, str]
    values: tuple[Difference, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    tolerance: float

    @property
    def first(self) -> Difference | None:
        """The first value that differs."""
        return next((d for d in self.values if d.reason), None)

    def json(self) -> dict[str, Any]:
        return {
            "sides": self.sides,
            "equal": self.first is None,
            "tolerance": self.tolerance,
            "first": self.first.name if self.first else None,
            "values": [asdict(d) | {"relative": d.relative} for d in self.values],
            "only": dict(zip(("a", "b"), self.only, strict=True)),
        }

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A table of all values."""
        yield "value", "shape", "largest", "differs by", "of largest", ""
        for d in self.values:
            numbers = (f"{d.largest:.4g}", f"{d.by:.3g}", f"{d.relative:.2g}")
            yield d.name, str(list(d.shape)), *numbers, "differs" if d.reason else ""

    def sentences(self) -> Iterator[str]:
        """What there is to say: equal, or the first value that is not."""
        a, b = self.sides
        count = len(self.values)
        if self.first is None:
            worst = max(self.values, key=lambda d: d.relative)
            yield f"{a} and {b} agree on all {count} values, to {self.tolerance:g} of each one's largest number."
            apart = f"Farthest apart is {worst.name}, by {worst.relative:.2g} of its largest number."
            yield apart if worst.by else "They are the same numbers, bit for bit."
            return
        wrong = sum(bool(d.reason) for d in self.values)
        yield f"{a} and {b} differ in {wrong} of {count} values. The first is {self.first.name}: {self.first.reason}"


def compared(
    sides: tuple[str, str], a: Mapping[str, Array], b: Mapping[str, Array], tolerance: float, skip: Sequence[str] = ()
) -> Comparison:
    """Values of the same name, in the order of `a`; those named in `skip`, the inputs, are equal by nature."""
    names = [name for name in a if name in b and name not in skip]
    values = tuple(difference(name, a[name], b[name], tolerance) for name in names)
    only = tuple(tuple(n for n in one if n not in other and n not in skip) for one, other in ((a, b), (b, a)))
    return Comparison(sides, values, (only[0], only[1]), tolerance)


def difference(name: str, a: Array, b: Array, tolerance: float) -> Difference:
    """How far `b` is from `a`. NaN is equal to NaN, an infinity to itself; dimensions of 1 do not count."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    finite = x[np.isfinite(x)]
    largest = float(np.abs(finite).max(initial=0))
    if squeezed(x) != squeezed(y):
        sentence = f"it is {list(x.shape)} on one side and {list(y.shape)} on the other."
        return Difference(name, x.shape, largest, float("inf"), (), float("nan"), float("nan"), sentence)
    if not x.size:
        return Difference(name, x.shape, largest, 0.0, (), float("nan"), float("nan"), "")
    y = y.reshape(x.shape)
    with np.errstate(invalid="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        by = np.where(same, 0.0, np.abs(x - y))
    by = np.where(np.isnan(by), np.inf, by)
    at = tuple(int(i) for i in np.unravel_index(int(by.argmax()), by.shape))
    most = float(by[at])
    reason = ""
    if most > tolerance * (largest or 1.0):
        part = most / largest if largest else most
        reason = f"{x[at]:.7g} at {list(at)} became {y[at]:.7g}, which is {part:.2g} of its largest number away."
    return Difference(name, x.shape, largest, most, at, float(x[at]), float(y[at]), reason)


def squeezed(x: Array) -> tuple[int, ...]:
    return tuple(d for d in x.shape if d != 1)
