"""CUDA's driver library, loaded when it is first needed; every call is checked and fails in CUDA's own words."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import byref, c_char_p
from functools import cache
from typing import Any

from ..plan import ArtifactError
from .abi import ADVICE, FUNCTIONS, OPTIONAL, OUT_OF_MEMORY, SUCCESS

LIBRARY = "CORTADO_LIBCUDA"
"""The environment variable that names another driver library than the system's."""
DEFAULT = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


class CudaError(RuntimeError):
    """A call to CUDA failed; `code` is its CUresult. The message ends with what to do, where that is known."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def out_of_memory(self) -> bool:
        return self.code == OUT_OF_MEMORY


class Driver:
    """The functions of abi.FUNCTIONS, by name: `driver.cuMemFree_v2(address)` raises CudaError if it fails."""

    def __init__(self, path: str) -> None:
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            raise ArtifactError(
                f"the net was compiled for an NVIDIA GPU, and CUDA's driver cannot be loaded ({error}); install "
                f"NVIDIA's driver, or compile the net for the target cpu"
            ) from None
        for name, arguments in FUNCTIONS.items():
            try:
                function = getattr(self.library, name)
            except AttributeError:
                if name in OPTIONAL:
                    continue
                raise ArtifactError(f"CUDA's driver is too old, it has no {name}; update it to 12.0 or newer") from None
            function.argtypes, function.restype = arguments, ctypes.c_int
            setattr(self, name, self.checked(name, function))

    def checked(self, name: str, function: Callable[..., int]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if (code := function(*arguments)) != SUCCESS:
                raise CudaError(self.sentence(name, code), code)

        return call

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Only for functions that the library lacks: the others were set when it was loaded."""
        if name not in OPTIONAL:
            raise AttributeError(name)
        raise CudaError(f"CUDA's driver has no {name}; update it to 12.0 or newer", 0)

    def sentence(self, name: str, code: int) -> str:
        words = []
        for ask in (self.library.cuGetErrorName, self.library.cuGetErrorString):
            text = c_char_p()
            words.append((text.value or b"").decode() if ask(code, byref(text)) == SUCCESS else "")
        told = f"{name}: {words[1]} ({words[0]})" if all(words) else f"{name} failed with code {code}"
        return f"{told}; {ADVICE[code]}" if code in ADVICE else told


def driver() -> Driver:
    """The system's driver, or the library that CORTADO_LIBCUDA names. ArtifactError if it cannot be used."""
    return loaded(os.environ.get(LIBRARY) or DEFAULT)


@cache
def loaded(path: str) -> Driver:
    made = Driver(path)
    try:
        made.cuInit(0)
    except CudaError as error:
        raise ArtifactError(f"CUDA cannot be used here: {error}") from None
    return made
