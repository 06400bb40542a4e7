"""Runs a net that was compiled to a shared library, with numpy alone: no torch, no compiler.

The library's interface is that of net.h (runtime/native/templates/api.h): functions that describe inputs and outputs,
and one that runs the net over the caller's arrays.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np

from .arrays import Array, float_array
from .elf import HEADER, reason_not_loadable
from .errors import ArtifactError
from .spec import Spec, describe_net, inputs_by_name, other_shapes, require_ranks, upper_bound

if TYPE_CHECKING:
    from PIL.Image import Image

    from .preprocessing import Preprocessing

ABI = 2  # the version of the interface: NET_ABI in net.h
NO_MEMORY = 2  # NET_NO_MEMORY
OPENED: dict[str, list[tuple[int, int, int]]] = {}  # by path the files opened there in this process


class TensorStruct(ctypes.Structure):
    """`struct net_tensor` of net.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("preprocessing", ctypes.c_char_p),
        ("dims", ctypes.POINTER(ctypes.c_int64)),
        ("count", ctypes.c_int64),
        ("rank", ctypes.c_int32),
        ("varies", ctypes.c_int32),
    )


def open_library(path: str | Path, *, threads: int | None = None) -> LibraryNet:
    """Open a net that `cortado compile -o net.so` made: `open_library("net.so")(data=x)["prob"]`.

    A shared library is code: opening one runs it. `threads` is how many a call uses (None: as many as the process may).
    ArtifactError if it is no net, cut off, of another version, or not for this processor.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}, and has to be 1 or more")
    try:
        return LibraryNet(load_whole(Path(path)), threads or 0)
    except ArtifactError as e:
        raise ArtifactError(f"{path}: {e}") from None


def load_whole(path: Path) -> ctypes.CDLL:
    """The library, loaded. ArtifactError if it cannot be."""
    try:
        with path.open("rb") as file:
            found, head = os.fstat(file.fileno()), file.read(HEADER.size)
    except OSError as e:
        raise ArtifactError(e.strerror or str(e)) from None
    if reason := reason_not_loadable(head, found.st_size):
        is_container = head[8:9] == b"{"
        raise ArtifactError("it is a compiled net; cortado.runtime.load loads it" if is_container else reason)
    name = path.absolute()
    version = found.st_dev, found.st_ino, found.st_mtime_ns
    earlier = OPENED.setdefault(str(name), [])
    if version not in earlier:
        if any(version[:2] == other[:2] for other in earlier):
            raise ArtifactError("it was written over while this process had it open; start another one")
        earlier.append(version)
    # The loader knows a file by the words of its path: one that replaced another needs others.
    words = f"{name.parent}/{'./' * earlier.index(version)}{name.name}"
    try:
        return ctypes.CDLL(words)
    except OSError as e:
        raise ArtifactError(f"it cannot be loaded ({e})") from None


class LibraryNet:
    """A net in a shared library. Any number of threads may call it at once; each call has memory of its own.

    `inputs` and `outputs` are by name; `preprocessing`, by input, is what the net was compiled with; `title` names the
    net, and the version and processor that it was compiled by and for.
    """

    def __init__(self, library: ctypes.CDLL, threads: int) -> None:
        self.library, self.threads = library, threads
        declare(library)
        if (version := library.net_abi()) != ABI:
            raise ArtifactError(f"its interface has version {version}, and this cortado has {ABI}; compile it again")
        self.title: str = library.net_title().decode()
        given, made = list(describe(library.net_input)), list(describe(library.net_output))
        self.inputs = {name: spec for name, spec, _ in given}
        self.outputs = {name: spec for name, spec, _ in made}
        self.varying = [i for i, s in enumerate(self.outputs.values()) if any(isinstance(d, str) for d in s.dims)]
        self.result_shapes = [tuple(map(upper_bound, spec.dims)) for spec in self.outputs.values()]
        self.settings = {name: settings for name, _, settings in given if settings}
        self.contexts: deque[ctypes.c_void_p] = deque()  # memory that no call uses now
        self.contexts.append(self.make_context())
        finalize(self, free_all, library, self.contexts).atexit = False

    @property
    def preprocessing(self) -> dict[str, Preprocessing]:
        """How pictures become inputs, by input."""
        from .encoding import decode, parse
        from .preprocessing import Preprocessing

        return {name: decode(Preprocessing, parse(text), "preprocessing") for name, text in self.settings.items()}

    def __repr__(self) -> str:
        return describe_net(self.title.partition(", compiled by ")[0], self.inputs, self.outputs, "shared library")

    def __call__(self, inputs: Any = None, /, **named: Any) -> dict[str, Array]:
        """Run the net: `net(data=x)`, `net({"data": x})`, or `net(x)` if it has one input.

        Arrays of any numeric dtype become float32. Results are new numpy arrays by name. ValueError if a name, a shape
        or a kind of number does not fit.
        """
        given = inputs_by_name(self.inputs, inputs, named)
        arrays = [float_array(name, given[name]) for name in self.inputs]
        self.require_shapes(arrays)
        results: list[Array] = [np.empty(shape, np.float32) for shape in self.result_shapes]
        try:
            context = self.contexts.pop()
        except IndexError:
            context = self.make_context()
        try:
            self.require_done(self.library.net_run(context, addresses(arrays), addresses(results)))
            for i in self.varying:
                results[i] = first_numbers(results[i], self.library.net_output_dims(context, i))
        finally:
            self.contexts.append(context)
        return dict(zip(self.outputs, results, strict=True))

    def require_shapes(self, arrays: list[Array]) -> None:
        """ValueError unless the arrays have the shapes that the net was compiled for."""
        due, shapes = [spec.dims for spec in self.inputs.values()], [array.shape for array in arrays]
        if shapes != due:
            require_ranks(self.inputs, dict(zip(self.inputs, shapes, strict=True)))
            raise other_shapes(list(self.inputs), [due], shapes)

    def prepare(self, *pictures: str | Path | Image | Array, input: str | None = None) -> Array:
        """Pictures as an input, preprocessed as the net was compiled with: see `Net.prepare`.

        ValueError, too, if that subtracts a mean picture, which a library does not hold.
        """
        from .preprocess import prepare_pictures

        forms = self.preprocessing
        if lacking := [name for name, form in forms.items() if form.mean_image]:
            raise ValueError(f"a library does not hold the mean picture of {lacking[0]!r}; subtract it from the input")
        return prepare_pictures(pictures, {name: s.dims for name, s in self.inputs.items()}, forms, {}, input)

    def make_context(self) -> ctypes.c_void_p:
        """Memory for one run at a time. ArtifactError if the processor or the weights are wrong."""
        made = ctypes.c_void_p()
        self.require_done(self.library.net_init(ctypes.byref(made), self.threads))
        return made

    def require_done(self, status: int) -> None:
        if status:
            message = self.library.net_message(status).decode()
            raise MemoryError(message) if status == NO_MEMORY else ArtifactError(message)


def declare(library: ctypes.CDLL) -> None:
    """Tell ctypes the types of the interface. ArtifactError if the library has no such functions."""
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    types: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
        "net_abi": (number, ()),
        "net_title": (text, ()),
        "net_message": (text, (number,)),
        "net_input": (ctypes.POINTER(TensorStruct), (number,)),
        "net_output": (ctypes.POINTER(TensorStruct), (number,)),
        "net_init": (number, (pointer, number)),
        "net_run": (number, (pointer, pointer, pointer)),
        "net_output_dims": (ctypes.POINTER(ctypes.c_int64), (pointer, number)),
        "net_free": (None, (pointer,)),
    }
    for name, (result, arguments) in types.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ArtifactError("it is a shared library, but no net compiled by cortado") from None
        function.restype, function.argtypes = result, arguments


def describe(tensor: Callable[[int], Any]) -> Iterator[tuple[str, Spec, str]]:
    """The name, the type and the preprocessing of each input or output."""
    i = 0
    while found := tensor(i):
        t = found.contents
        dims = tuple(f"?{size}" if axis == t.varies else size for axis, size in enumerate(t.dims[: t.rank]))
        yield t.name.decode(), Spec("f32", dims), t.preprocessing.decode()
        i += 1


def first_numbers(array: Array, dims: ctypes._Pointer[ctypes.c_int64]) -> Array:
    """A new array of these sizes, from the first numbers of a larger one."""
    shape = tuple(dims[: array.ndim])
    return array.ravel()[: prod(shape)].reshape(shape).copy()


def addresses(arrays: list[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(len(arrays), 1))(*(array.ctypes.data for array in arrays))


def free_all(library: ctypes.CDLL, contexts: deque[ctypes.c_void_p]) -> None:
    while contexts:
        library.net_free(contexts.pop())
