"""Signals and closed pipes that end a command: it ends as with Ctrl-C, quietly, and what it was writing is undone."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

BROKEN_PIPE = 128 + 13  # what shells report of a process that SIGPIPE ended


class EndedBySignal(BaseException):
    """The system or another process asked this one to end. `exit_code` is what shells expect then."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def raise_ending_signals() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, SIGTERM and SIGHUP EndedBySignal, unless they were ignored at start-up."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    handlers = {signal.SIGINT: signal.default_int_handler}
    handlers |= {getattr(signal, name): raise_ended for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)}
    before = {number: signal.getsignal(number) for number in handlers}
    changed = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    try:
        for number in changed:
            signal.signal(number, handlers[number])
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def raise_ended(number: int, frame: FrameType | None) -> None:
    raise EndedBySignal(number)


def settle_stdout() -> None:
    """Drop what standard output no longer takes: Python would try again, and complain, when the process ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError, io.UnsupportedOperation):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
