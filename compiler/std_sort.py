"""libstdc++'s std::sort with `>` on keys, as the references of operators need it where equal keys keep its order."""

from __future__ import annotations

from collections.abc import Sequence

INSERTION = 16  # bits/stl_algo.h: _S_threshold


def std_sort(keys: Sequence[float]) -> list[int]:
    """The indices by falling key, in the order in which std::sort leaves them. Keys are no NaN."""
    order = list(range(len(keys)))
    introsort_loop(order, keys, 0, len(order), 2 * (len(order).bit_length() - 1))
    head = insertion_sort([], order[:INSERTION], keys)
    return insertion_sort(head, order[INSERTION:], keys)


def introsort_loop(order: list[int], keys: Sequence[float], first: int, last: int, depth: int) -> None:
    """Partition until segments are short, at most `depth` times; what is still long is sorted by a heap."""
    while last - first > INSERTION:
        if depth == 0:
            order[first:last] = heap_sort(order[first:last], keys)
            return
        depth -= 1
        candidates = [first + 1, first + (last - first) // 2, last - 1]
        median = sorted(candidates, key=lambda i: keys[order[i]])[1]
        if len({keys[order[i]] for i in candidates}) < 3:
            median = median_of_equal(candidates, [keys[order[i]] for i in candidates])
        order[first], order[median] = order[median], order[first]
        cut = partition(order, keys, first, last)
        introsort_loop(order, keys, cut, last, depth)
        last = cut


def median_of_equal(places: Sequence[int], own: Sequence[float]) -> int:
    """__move_median_to_first, where comparisons of equal keys are false."""
    a, b, c = own
    if a > b:
        return places[1] if b > c else places[2] if a > c else places[0]
    return places[0] if a > c else places[2] if b > c else places[1]


def partition(order: list[int], keys: Sequence[float], first: int, last: int) -> int:
    """__unguarded_partition around the first element."""
    pivot, left, right = keys[order[first]], first + 1, last - 1
    while True:
        while keys[order[left]] > pivot:
            left += 1
        while pivot > keys[order[right]]:
            right -= 1
        if left >= right:
            return left
        order[left], order[right] = order[right], order[left]
        left, right = left + 1, right - 1


def insertion_sort(done: list[int], rest: Sequence[int], keys: Sequence[float]) -> list[int]:
    """Insert each element after those whose keys are not below its own."""
    for i in rest:
        at = len(done)
        while at and keys[i] > keys[done[at - 1]]:
            at -= 1
        done.insert(at, i)
    return done


def heap_sort(own: list[int], keys: Sequence[float]) -> list[int]:
    """__heap_select and __sort_heap over the whole segment."""
    for parent in reversed(range(len(own) // 2)):
        adjust_heap(own, keys, parent, len(own))
    for last in reversed(range(1, len(own))):
        own[0], own[last] = own[last], own[0]
        adjust_heap(own, keys, 0, last)
    return own


def adjust_heap(own: list[int], keys: Sequence[float], start: int, size: int) -> None:
    """__adjust_heap: the element at `start` sinks to a leaf, the smaller child first, and rises from there."""
    value, hole = own[start], start
    while 2 * hole + 1 < size:
        child = 2 * hole + 2
        if child >= size or keys[own[child]] > keys[own[child - 1]]:
            child -= 1
        own[hole], hole = own[child], child
    while hole > start and keys[own[(hole - 1) // 2]] > keys[value]:
        own[hole], hole = own[(hole - 1) // 2], (hole - 1) // 2
    own[hole] = value
