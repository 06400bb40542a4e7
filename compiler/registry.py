"""A table of named entries, filled at run time, in which no entry is overwritten by accident."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Entries by name, in the order of registration: a mapping that is changed only by the three methods below."""

    def __init__(self, noun: str) -> None:
        self.noun = noun  # what an entry is, for error messages
        self.entries: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, name: str, entry: T) -> None:
        """Add a new entry. ValueError if there is one of this name."""
        if name in self.entries:
            raise ValueError(f"{self.noun} {name} is registered twice")
        self.entries[name] = entry

    def replace(self, name: str, entry: T) -> None:
        """Add an entry, or replace the one of this name."""
        self.entries[name] = entry

    def remove(self, name: str) -> T:
        """Remove an entry and return it. KeyError if there is none of this name."""
        return self.entries.pop(name)
