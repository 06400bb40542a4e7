"""Whole numbers."""

from __future__ import annotations


def next_power_of_two(n: int, least: int = 1, most: int = 1 << 20) -> int:
    """The smallest power of two that is n or more, within bounds."""
    return min(max(1 << (n - 1).bit_length(), least), most)


def ceil_div(count: int, size: int) -> int:
    return -(-count // size)
