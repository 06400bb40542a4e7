"""A result that another thread computes, as cv2.AsyncArray."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from typing import Any

import numpy as np

from .errors import as_opencv

Array = np.ndarray[Any, Any]


class AsyncArray:
    """An array that is not there yet."""

    def __init__(self, compute: Callable[[], Array] | None = None) -> None:
        self.future: Future[Array] | None = None
        if compute is not None:
            pool = ThreadPoolExecutor(1)
            self.future = pool.submit(compute)
            pool.shutdown(wait=False)

    def valid(self) -> bool:
        return self.future is not None

    def wait_for(self, timeoutNs: float) -> bool:
        """True if the array is there within so many nanoseconds."""
        if self.future is None:
            return False
        try:
            self.future.exception(timeoutNs * 1e-9)
        except TimeoutError:
            return False
        return True

    def get(self, timeoutNs: float | None = None) -> Any:
        """The array, waiting for it; with a time in nanoseconds, whether it is there, and the array or None."""
        assert self.future is not None, "this array was made by no net"
        if timeoutNs is not None and not self.wait_for(timeoutNs):
            return False, None
        with as_opencv():
            made = self.future.result()
        return made if timeoutNs is None else (True, made)

    def release(self) -> None:
        self.future = None
