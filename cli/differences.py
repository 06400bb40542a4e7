"""The comparison of two runs, value by value in the order of the net: the first value that differs, and by how much."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..runtime.preprocess import Array
from .screen import format_count

MAX_LISTED = 5  # names in one sentence


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """The comparison of one value.

    `largest` is the largest magnitude on side a, `by` the largest absolute difference, `at` its index, and `a`, `b` the
    two numbers there. `reason` is a sentence on the difference, "" if the value does not differ.
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
    def verdict(self) -> str:
        """The result in a word or two; "" if the value does not differ."""
        if not self.reason:
            return ""
        return "differs" if np.isfinite(self.by) else "NaN or infinite" if self.at else "another shape"

    @property
    def relative(self) -> float:
        """The difference divided by the largest magnitude."""
        return self.by / self.largest if self.largest else self.by


@dataclass(frozen=True, slots=True)
class Comparison:
    """The values that both sides have, in order; the names that only one side has; the relative tolerance.

    `removed_by_passes` are those names of `only` that the other side's net had before its passes. `producer` is the
    layer that produces the first value that differs, "" if it is not known.
    """

    labels: tuple[str, str]
    values: tuple[ValueDifference, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    tolerance: float
    removed_by_passes: frozenset[str] = frozenset()
    producer: str = ""

    @property
    def first_difference(self) -> ValueDifference | None:
        """The first value that differs, or None."""
        return next((d for d in self.values if d.reason), None)

    def json(self) -> dict[str, Any]:
        return {
            "sides": self.labels,
            "equal": self.first_difference is None,
            "tolerance": self.tolerance,
            "first": self.first_difference.name if self.first_difference else None,
            "maker": self.producer or None,
            "values": [asdict(d) | {"relative": d.relative} for d in self.values],
            "only": dict(zip(("a", "b"), self.only, strict=True)),
        }

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A table of all values."""
        yield "value", "shape", "largest", "differs by", "of largest", ""
        for d in self.values:
            numbers = (f"{d.largest:.4g}", *((f"{d.by:.3g}", f"{d.relative:.2g}") if np.isfinite(d.by) else ("", "")))
            yield d.name, str(list(d.shape)), *numbers, d.verdict

    def summary_lines(self) -> Iterator[str]:
        """Sentences for people: the sides agree, or the first value that differs."""
        a, b = self.labels
        count = len(self.values)
        if self.first_difference is None:
            worst = max(self.values, key=lambda d: d.relative)
            values, whose = (f"all {count} values", "each one's") if count > 1 else ("the value that both have", "its")
            yield f"{a} and {b} agree on {values}, to {self.tolerance:g} of {whose} largest number."
            apart = f"The largest difference is in {worst.name}: {worst.relative:.2g} of its largest number."
            yield apart if worst.by else "All numbers are equal."
            return
        wrong = sum(bool(d.reason) for d in self.values)
        name = self.first_difference.name + (f", produced by {self.producer}" if self.producer else "")
        reason = self.first_difference.reason
        yield f"{a} and {b} differ in {wrong} of {format_count(count, 'value')}. The first is {name}: {reason}"

    def describe_unmatched(self) -> Iterator[str]:
        """Sentences on values that were not compared, with the reason."""
        for names, side, other in zip(self.only, self.labels, self.labels[::-1], strict=True):
            taken = [name for name in names if name in self.removed_by_passes]
            if foreign := [name for name in names if name not in self.removed_by_passes]:
                yield f"Only {side} has {list_names(foreign)}."
            if taken:
                gone = f"passes removed them in {other}, and --passes none keeps them"
                yield f"Only {side} has {list_names(taken)}: {gone}."


def list_names(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def compare_values(
    sides: tuple[str, str],
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    tolerance: float,
    skip: Sequence[str] = (),
    known: tuple[Collection[str], Collection[str]] = ((), ()),
) -> Comparison:
    """Compare values of equal names, in the order of `a`, except those named in `skip`, the inputs.

    `known` are the names of values that each side's net has before passes.
    """
    names = [name for name in a if name in b and name not in skip]
    values = tuple(measure_difference(name, a[name], b[name], tolerance) for name in names)
    only = tuple(tuple(n for n in one if n not in other and n not in skip) for one, other in ((a, b), (b, a)))
    gone = frozenset(n for i in (0, 1) for n in only[i] if n in known[1 - i])
    return Comparison(sides, values, (only[0], only[1]), tolerance, gone)


def measure_difference(name: str, a: Array, b: Array, tolerance: float) -> ValueDifference:
    """The difference of `b` from `a`. NaN equals NaN, an infinity itself; dimensions of 1 are ignored."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    finite = x[np.isfinite(x)]
    largest = float(np.abs(finite).max(initial=0))
    if squeezed_shape(x) != squeezed_shape(y):
        sentence = f"it is {list(x.shape)} on one side and {list(y.shape)} on the other."
        return ValueDifference(name, x.shape, largest, float("inf"), (), float("nan"), float("nan"), sentence)
    if not x.size:
        return ValueDifference(name, x.shape, largest, 0.0, (), float("nan"), float("nan"), "")
    y = y.reshape(x.shape)
    with np.errstate(invalid="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        by = np.where(same, 0.0, np.abs(x - y))
    by = np.where(np.isnan(by), np.inf, by)
    at = tuple(int(i) for i in np.unravel_index(int(by.argmax()), by.shape))
    most = float(by[at])
    reason = ""
    if most == float("inf"):
        more = int(np.isinf(by).sum()) - 1
        others = f", and there are {more:,} more such elements" if more else ""
        reason = f"at {list(at)} it is {x[at]:.7g} and {y[at]:.7g}{others}."
    elif most > tolerance * (largest or 1.0):
        part = most / largest if largest else most
        reason = f"at {list(at)} it is {x[at]:.7g} and {y[at]:.7g}, a difference of {part:.2g} of its largest number."
    return ValueDifference(name, x.shape, largest, most, at, float(x[at]), float(y[at]), reason)


def squeezed_shape(x: Array) -> tuple[int, ...]:
    return tuple(d for d in x.shape if d != 1)
