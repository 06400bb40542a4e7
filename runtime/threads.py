"""How many threads a call uses, and what a process has to mend after it was forked."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from weakref import WeakSet

import torch

MOST_THREADS = 1024  # that a call may use: libgomp crashes where the system gives it fewer than it asks for
LOCKS: WeakSet[ForkSafeLock] = WeakSet()
is_forked_child = False


class ForkSafeLock:
    """A lock that is free in a forked child, whichever thread of the parent held it.

    What it guards is changed by single stores, so that a child never sees half a change.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        LOCKS.add(self)

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, type: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.lock.release()


def mend_child() -> None:
    """In a forked child: OpenMP's threads stayed in the parent, and waiting for them would never end.

    libgomp has no handler for fork: a child of a process that has run a parallel region hangs in its first one. With
    one thread there is no region. Locks that a thread of the parent held would never be released.
    """
    global is_forked_child
    is_forked_child = True
    torch.set_num_threads(1)
    for lock in LOCKS:
        lock.lock = threading.Lock()


os.register_at_fork(after_in_child=mend_child)


def check_threads(count: int | None) -> None:
    """ValueError unless a call can use so many threads."""
    if count is not None and not 1 <= count <= MOST_THREADS:
        raise ValueError(f"threads are 1 to {MOST_THREADS}, not {count}")


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """torch's threads for this thread's work, put back afterwards; in a forked child there is one."""
    before = torch.get_num_threads()
    if count is None or count == before or is_forked_child:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
