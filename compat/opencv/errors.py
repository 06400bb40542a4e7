"""The exception that the stand-in raises: cv2.error where OpenCV is installed, and one like it elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...compiler.errors import CompileError
from ...runtime.artifact import ArtifactError

Base: Any
try:
    from cv2 import error as Base
except ImportError:
    Base = Exception

OBJECT_NOT_FOUND, NOT_IMPLEMENTED, BAD_SIZE, BAD_ARGUMENT, UNSPECIFIED = -204, -213, -201, -5, -2  # cv::Error::Code


class error(Base):  # type: ignore[misc]
    """What is wrong, in cortado's words: place, sentence, advice. The attributes are those of cv2.error.

    `code` is of cv::Error::Code, `err` and `msg` are the message; `file`, `func` and `line` name no source.
    """

    def __init__(self, message: str, code: int = UNSPECIFIED) -> None:
        super().__init__(message)
        self.code, self.err, self.msg = code, message, message
        self.file, self.func, self.line = "", "", 0


@contextmanager
def as_opencv() -> Iterator[None]:
    """What is wrong with a file, a net or an array becomes OpenCV's exception."""
    try:
        yield
    except (CompileError, ArtifactError) as e:
        raise error(str(e)) from None
