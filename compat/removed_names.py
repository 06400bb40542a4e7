"""Names that newer versions of Python, NumPy and SciPy removed, and scripts of pycaffe's time use."""

from __future__ import annotations

import builtins
import pickle
import sys
import time
from importlib import reload
from types import ModuleType
from typing import Any

import numpy as np

from .removed_scipy import add_scipy_misc

ALIASES: dict[str, Any] = {
    "float": float, "int": int, "bool": bool, "object": object, "str": str, "complex": complex, "long": int,
    "unicode": str, "float_": np.float64, "complex_": np.complex128, "unicode_": np.str_, "string_": np.bytes_,
    "product": np.prod, "cumproduct": np.cumprod, "alltrue": np.all, "sometrue": np.any, "Inf": np.inf, "NaN": np.nan,
    "in1d": np.isin, "row_stack": np.vstack, "asscalar": lambda array: array.item(),
}  # fmt: skip
"""The names in NumPy."""


OTHERS: tuple[tuple[ModuleType, dict[str, Any]], ...] = (
    (time, {"clock": time.perf_counter}),
    (sys, {"setdefaultencoding": lambda encoding: None, "maxint": sys.maxsize}),
    (builtins, {"xrange": range, "unicode": str, "unichr": chr, "long": int, "raw_input": input, "reload": reload}),
)


def read_text_or_bytes(fromstring: Any) -> Any:
    """NumPy's `fromstring`, which also reads bytes, as it did before NumPy 2.3."""

    def read(string: Any, dtype: Any = float, count: int = -1, *, sep: str = "", **settings: Any) -> Any:
        if sep:
            return fromstring(string, dtype, count, sep=sep, **settings)
        data = string.encode("latin-1") if isinstance(string, str) else string
        return np.frombuffer(data, dtype, count).copy()

    return read


def add_removed_names() -> None:
    """Give them back, for this process, where they are missing."""
    for module, names in ((np, ALIASES), *OTHERS):
        for name, value in names.items():
            if name not in vars(module):
                setattr(module, name, value)
    np.fromstring = read_text_or_bytes(np.fromstring)
    sys.modules.setdefault("cPickle", pickle)
    add_scipy_misc()
