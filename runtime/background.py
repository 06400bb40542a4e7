"""Threads that build programs while others serve, and what becomes of them when Python ends.

A daemon thread that comes back from torch's C++ while Python ends would abort the process. So each is told to stop, and
has a moment to do so; what it was building is given up.
"""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Callable
from threading import Thread
from weakref import WeakSet

MOMENT = 2.0  # seconds: longer than any one call of torch in a compilation
RUNNING: WeakSet[Thread] = WeakSet()


def start_in_background(function: Callable[[], None]) -> Thread:
    """Call a function in a thread that does not keep Python from ending."""
    thread = Thread(target=function, daemon=True)
    RUNNING.add(thread)
    thread.start()
    return thread


def stop_all() -> None:
    """Raise SystemExit in each thread that is still at work, which ends it, and wait for it.

    One that waits for a C compiler does not notice, and need not: nothing of C++ is on its stack.
    """
    threads = [thread for thread in RUNNING if thread.is_alive()]
    for thread in threads:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    for thread in threads:
        thread.join(MOMENT)


atexit.register(stop_all)
