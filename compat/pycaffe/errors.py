"""What pycaffe's stand-in raises, and how cortado's errors become that."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ...compiler.errors import CompileError

GRADIENTS = (
    "cortado computes nets forward only: it has no gradients. To train a net, or to change its input by gradients, use "
    "Caffe itself, or the net in PyTorch."
)


PACKAGE = Path(__file__).parents[2]


class CaffeError(RuntimeError):
    """A net, a file or a call that is refused, in one sentence, or cortado's errors about a file: the `reason`."""

    reason: CompileError | None = None


class CaffeWarning(UserWarning):
    """What a person should know about a net that runs all the same."""


def warn(sentence: str) -> None:
    """Give a CaffeWarning, at the line of the script that called this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, CaffeWarning, stacklevel=level + 1)


@contextmanager
def caffe_errors() -> Iterator[None]:
    """Raise cortado's errors about files and nets as CaffeError."""
    try:
        yield
    except CompileError as e:
        error = CaffeError(str(e))
        error.reason = e
        raise error from None


def refuse_gradients(*arguments: Any, **settings: Any) -> NoReturn:
    """What is called in place of all that needs gradients. CaffeError."""
    raise CaffeError(GRADIENTS)
