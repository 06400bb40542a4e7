"""The CUDA driver library, loaded on first use; a failed call raises CudaError with CUDA's own message."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import byref, c_char_p
from functools import cache
from typing import Any

from ..plan import ArtifactError
from .abi import ADVICE, DRIVER_FUNCTIONS, OPTIONAL_FUNCTIONS, OUT_OF_MEMORY, SUCCESS

LIBRARY_VARIABLE = "CORTADO_LIBCUDA"
"""Environment variable with the path of a driver library to load in place of the system's."""
DEFAULT_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


class CudaError(RuntimeError):
    """A failed call to CUDA. `code` is its CUresult; the message ends with advice where abi.ADVICE has some."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_out_of_memory(self) -> bool:
        return self.code == OUT_OF_MEMORY


class Driver:
    """The functions of abi.DRIVER_FUNCTIONS, by name: `driver.cuMemFree_v2(address)` raises CudaError if it fails."""

    def __init__(self, path: str) -> None:
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            raise ArtifactError(
                f"the net was compiled for an NVIDIA GPU, and CUDA's driver cannot be loaded ({error}); install "
                f"NVIDIA's driver, or compile the net for the target cpu"
            ) from None
        for name, arguments in DRIVER_FUNCTIONS.items():
            try:
                function = getattr(self.library, name)
            except AttributeError:
                if name in OPTIONAL_FUNCTIONS:
                    continue
                raise ArtifactError(f"CUDA's driver is too old, it has no {name}; update it to 12.0 or newer") from None
            function.argtypes, function.restype = arguments, ctypes.c_int
            setattr(self, name, self.wrap_checked(name, function))

    def wrap_checked(self, name: str, function: Callable[..., int]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if (code := function(*arguments)) != SUCCESS:
                raise CudaError(self.error_message(name, code), code)

        return call

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Called only for functions that the library lacks: the others are attributes. CudaError for those."""
        if name not in OPTIONAL_FUNCTIONS:
            raise AttributeError(name)
        raise CudaError(f"CUDA's driver has no {name}; update it to 12.0 or newer", 0)

    def error_message(self, name: str, code: int) -> str:
        texts = []
        for describe in (self.library.cuGetErrorName, self.library.cuGetErrorString):
            text = c_char_p()
            texts.append((text.value or b"").decode() if describe(code, byref(text)) == SUCCESS else "")
        message = f"{name}: {texts[1]} ({texts[0]})" if all(texts) else f"{name} failed with code {code}"
        return f"{message}; {ADVICE[code]}" if code in ADVICE else message


def driver() -> Driver:
    """The system's driver, or the library at $CORTADO_LIBCUDA. ArtifactError if it cannot be loaded or initialised."""
    return load_driver(os.environ.get(LIBRARY_VARIABLE) or DEFAULT_LIBRARY)


@cache
def load_driver(path: str) -> Driver:
    loaded = Driver(path)
    try:
        loaded.cuInit(0)
    except CudaError as error:
        raise ArtifactError(f"CUDA cannot be used here: {error}") from None
    return loaded
