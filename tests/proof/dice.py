"""Random choices from a seed, the same in every process and on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """A stream of choices determined by its seed (numpy's RandomState, whose streams are frozen: NEP 19)."""

    def __init__(self, *seed: int) -> None:
        self.state = np.random.RandomState(list(seed))

    def between(self, least: int, most: int) -> int:
        """An integer from `least` to `most`, both included."""
        return int(self.state.randint(least, most + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.state.random_sample() < probability)

    def pick(self, things: Sequence[T]) -> T:
        return things[self.between(0, len(things) - 1)]

    def pick_weighted_index(self, weights: Sequence[float]) -> int:
        """An index of the list, with probabilities proportional to the weights."""
        at = self.state.random_sample() * sum(weights)
        for i, weight in enumerate(weights):
            at -= weight
            if at < 0:
                return i
        return len(weights) - 1

    def shuffle(self, things: Sequence[T]) -> list[T]:
        return [things[i] for i in self.state.permutation(len(things))]
