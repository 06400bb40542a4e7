"""The order in which libstdc++'s std::sort leaves elements of equal keys (bits/stl_algo.h): Caffe's forks sort with it.

Equal keys are rare, so the algorithm itself, which is sequential, only runs where there are some.
"""

from __future__ import annotations

import numpy as np

from .suppression import Floats, Ints

SMALL = 16  # segments up to this length are sorted by insertion


def sort_falling(keys: Floats) -> Ints:
    """The indices by falling key, as std::sort with `>` leaves them; NaN is below all numbers."""
    keys = np.where(np.isnan(keys), np.float32(-np.inf), keys)
    ranked = np.sort(keys)
    if (ranked[1:] != ranked[:-1]).all():
        return np.argsort(-keys)
    return np.array(introsort(keys.tolist()), np.intp)


def introsort(keys: list[float]) -> list[int]:
    """std::sort with `>`: the indices in their final order."""
    a = list(range(len(keys)))
    segments = [(0, len(a), 2 * (len(a).bit_length() - 1))]
    while segments:
        first, last, depth = segments.pop()
        while last - first > SMALL and depth:
            depth -= 1
            cut = partition(a, keys, first, last)
            segments.append((cut, last, depth))
            last = cut
        if last - first > SMALL:
            a[first:last] = heap_sorted(a[first:last], keys)
    for i in range(1, len(a)):
        insert(a, keys, i, bounded=i < SMALL)
    return a


def partition(a: list[int], keys: list[float], first: int, last: int) -> int:
    """Hoare's partition around the median of three, which is moved to the front: where the second part starts."""
    one, middle, end = first + 1, first + (last - first) // 2, last - 1
    x, y, z = (keys[a[i]] for i in (one, middle, end))
    first_two = middle if y > z else end if x > z else one
    median = first_two if x > y else one if x > z else end if y > z else middle
    a[first], a[median] = a[median], a[first]
    pivot, low, high = keys[a[first]], first + 1, last
    while True:
        while keys[a[low]] > pivot:
            low += 1
        high -= 1
        while pivot > keys[a[high]]:
            high -= 1
        if low >= high:
            return low
        a[low], a[high] = a[high], a[low]
        low += 1


def insert(a: list[int], keys: list[float], i: int, bounded: bool) -> None:
    """Move element i to its place among those before it; one above all of the first SMALL goes to the front."""
    own = a[i]
    if bounded and keys[own] > keys[a[0]]:
        a[1 : i + 1] = a[:i]
        a[0] = own
        return
    while keys[own] > keys[a[i - 1]]:
        a[i] = a[i - 1]
        i -= 1
    a[i] = own


def heap_sorted(a: list[int], keys: list[float]) -> list[int]:
    """std::make_heap and std::sort_heap, which std::sort falls back on if partitions are too uneven."""
    for parent in range((len(a) - 2) // 2, -1, -1):
        sift(a, keys, parent, len(a), a[parent])
    for end in range(len(a) - 1, 0, -1):
        own, a[end] = a[end], a[0]
        sift(a, keys, 0, end, own)
    return a


def sift(a: list[int], keys: list[float], hole: int, size: int, own: int) -> None:
    """std::__adjust_heap: the hole moves down to a leaf, then `own` up from there."""
    top, child = hole, hole
    while child < (size - 1) // 2:
        child = 2 * (child + 1)
        child -= keys[a[child]] > keys[a[child - 1]]
        a[hole], hole = a[child], child
    if size % 2 == 0 and child == (size - 2) // 2:
        child = 2 * child + 1
        a[hole], hole = a[child], child
    while hole > top and keys[a[(hole - 1) // 2]] > keys[own]:
        a[hole], hole = a[(hole - 1) // 2], (hole - 1) // 2
    a[hole] = own
