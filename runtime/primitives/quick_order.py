"""The order that two quicksorts of Caffe's forks leave: of equal scores, it depends on all the others.

A segment without equal scores has one order, so only segments with some are partitioned as the forks do it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .suppression import Floats, Ints

Partition = Callable[[Floats], tuple[Ints, int]]
"""scores [n] -> the order of the elements around the first one, the pivot, and where the pivot is then."""


def quick_order(scores: Floats, most: int, partition: Partition) -> Ints:
    """A permutation by falling score, valid for the first `most` elements; scores have no NaN."""
    order = np.arange(len(scores))
    segments = [(0, len(scores))]
    while segments:
        start, end = segments.pop()
        own = scores[order[start:end]]
        ranked = np.sort(own)
        if (ranked[1:] != ranked[:-1]).all():
            order[start:end] = order[start:end][np.argsort(-own)]
        elif ranked[0] != ranked[-1]:  # of one score, partitions move nothing
            moved, middle = partition(own)
            order[start:end] = order[start:end][moved]
            if middle > 1:
                segments.append((start, start + middle))
            if start + middle + 1 < most and start + middle + 2 < end:
                segments.append((start + middle + 1, end))
    return order


def partition_by_swaps(scores: Floats) -> tuple[Ints, int]:
    """sort_box of caffe-windows and pva-faster-rcnn (proposal_layer.cpp): pairs on the wrong sides change places."""
    order, below, above = np.arange(len(scores)), *sides(scores)
    count = min(len(below), len(above))
    swapped = int((below[:count] < above[:count]).sum())  # below rises, above falls
    order[below[:swapped]], order[above[:swapped]] = above[:swapped], below[:swapped]
    left = below[swapped - 1] + 1 if swapped else 1
    right = above[swapped - 1] - 1 if swapped else len(scores) - 1
    if left <= right:
        right = max(above[swapped] if swapped < len(above) else 0, below[swapped - 1] if swapped else 0)
    order[0], order[right] = order[right], order[0]
    return order, int(right)


def partition_by_holes(scores: Floats) -> tuple[Ints, int]:
    """SortBBox of mini-caffe (proposal_layer.cpp): elements fill the hole that the last one left, from both sides."""
    order, below, above = np.arange(len(scores)), *sides(scores)
    count = min(len(below), len(above))
    # above[i] moves to below[i - 1], the first one to the pivot's place, as long as it is to the right of it.
    lefts = np.concatenate([[0], below])
    to_left = int((above[: count + 1] > lefts[: len(above[: count + 1])]).sum())
    to_right = int((below[:to_left] < above[: min(to_left, len(below))]).sum())
    order[lefts[:to_left]] = above[:to_left]
    order[above[:to_right]] = below[:to_right]
    hole = int(lefts[to_right] if to_right == to_left else above[to_left - 1])
    order[hole] = 0
    return order, hole


def sides(scores: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of scores below the first, rising, and of those above it, falling."""
    return np.flatnonzero(scores < scores[0]), np.flatnonzero(scores > scores[0])[::-1]
