"""cv2.dnn.Net for nets of Caffe: the methods of OpenCV 4.14, with the numbers of Caffe."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from ...compiler.errors import CompileError
from ..live_layer import Key
from ..live_net import LiveNet
from . import measures
from .asynchronous import AsyncArray
from .constants import (
    BACKENDS,
    DNN_BACKEND_CUDA,
    DNN_TARGET_CUDA,
    DNN_TARGET_CUDA_FP16,
    TARGETS,
    choose_target,
    warn_if_foreign,
)
from .errors import BAD_ARGUMENT, NOT_IMPLEMENTED, OBJECT_NOT_FOUND, as_opencv, error
from .results import opencv_result
from .structure import Names, NetStructure

Array = np.ndarray[Any, Any]
OF_THE_FILE = "the layers of a net are those of its prototxt"
REFUSED = {
    "addLayer": OF_THE_FILE,
    "addLayerToPrev": OF_THE_FILE,
    "connect": OF_THE_FILE,
    "registerOutput": "any layer's name may be given to forward",
    "quantize": "cortado computes Caffe's nets in float32, as Caffe does",
    "getInputDetails": "this net is not quantized",
    "getOutputDetails": "this net is not quantized",
    "readFromModelOptimizer": "cortado reads nets of Caffe: readNetFromCaffe",
    "dumpToPbtxt": "dumpToFile writes the net for Graphviz, and the prototxt itself can be drawn by Netron",
}


class Net(NetStructure):
    """A net as cv2.dnn.readNetFromCaffe returns it.

    A name given to `forward` is a layer's. What a layer makes is what it makes itself, before others write over it in
    place. All errors are `error`, which is a cv2.error where OpenCV is installed.
    """

    def __init__(self, live: LiveNet | None = None) -> None:
        super().__init__(live)
        self.values: dict[str, Array] = {}  # of the inputs
        self.results: dict[Key, Array] = {}  # for these values
        self.asked: list[Key] = []  # since an input was set, in order
        self.companions: dict[Key, list[Key]] = {}  # what was asked for after a first one, for the same inputs
        self.shares: dict[Any, Array] = {}  # of each layer in the time of a run, by what was asked for and shapes
        self.ticks = 0

    def __getattr__(self, name: str) -> Any:
        """A method of OpenCV's that has no meaning here says why when it is called."""
        if name not in REFUSED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def refuse(*given: Any, **named: Any) -> Any:
            raise error(f"{name}: {REFUSED[name]}", NOT_IMPLEMENTED)

        return refuse

    def forget_results(self) -> None:
        self.results.clear()

    def setInput(self, blob: Any, name: str = "", scalefactor: float = 1.0, mean: Any = ()) -> None:
        """Set an input, the first one by default, to a copy of (blob - mean) * scalefactor, as float32.

        `mean` has a number for each channel, or one for all.
        """
        with as_opencv():
            live = self.require_live()
            names = live.inputs
            if not names or (name and name not in names):
                known = ", ".join(names) or "none"
                raise error(f'the net has no input "{name}"; its inputs are {known}', OBJECT_NOT_FOUND)
            self.values[name or names[0]] = measures.scale_blob(blob, scalefactor, mean)
            self.forget_results()
            self.forget_companions()

    def forward(
        self,
        *given: Any,
        outputName: Any = None,
        outBlobNames: Names | None = None,
        outputBlobs: Any = None,
    ) -> Any:
        """Run the net up to a layer, by default the last one, and return what it makes: a new array.

        For a list of names it is a tuple of arrays. With `outputBlobs`, which older scripts give, too, and one name, it
        is a tuple of all that this layer makes.
        """
        if len(given) > 1 or (len(given) == 1 and not is_names(given[0])):
            outputBlobs, given = (given[0], given[1:]) if len(given) > 1 else (outputBlobs, given)
        wanted = given[0] if given else outBlobNames if outBlobNames is not None else outputName
        with as_opencv():
            if is_names(wanted):
                return tuple(self.compute([self.layer_named(name).keys[0] for name in wanted]))
            layer = self.layer_named(text_of(wanted) or self.last_name())
            if outputBlobs is not None:
                return tuple(self.compute(layer.keys))
            return self.compute(layer.keys[:1])[0]

    def forwardAndRetrieve(self, outBlobNames: Names) -> tuple[tuple[Array, ...], ...]:
        """For each layer of these names, all that it makes."""
        with as_opencv():
            layers = [self.layer_named(name) for name in outBlobNames]
            keys = [*dict.fromkeys(key for layer in layers for key in layer.keys)]
            made = dict(zip(keys, self.compute(keys), strict=True))
            return tuple(tuple(made[key].copy() for key in layer.keys) for layer in layers)

    def forwardAsync(self, outputName: str = "") -> AsyncArray:
        """What `forward` returns, computed by another thread; OpenCV has this for one backend only."""
        with as_opencv():
            keys = self.layer_named(outputName or self.last_name()).keys[:1]
            live, values = self.finalize(), dict(self.values)
        return AsyncArray(lambda: self.run(live, values, keys)[0])

    def setPreferableBackend(self, backendId: int) -> None:
        """CUDA: run on the GPU if there is one. Any other: run on the CPU, with a warning unless that was meant."""
        self.preferred_backend = backendId
        if backendId != DNN_BACKEND_CUDA:
            warn_if_foreign(BACKENDS, backendId, "backend")
        self.choose_target()

    def setPreferableTarget(self, targetId: int) -> None:
        """CUDA and CUDA_FP16: the net runs on the GPU if there is one, the latter in f16; others as for backends."""
        self.preferred_target = targetId
        if targetId not in (DNN_TARGET_CUDA, DNN_TARGET_CUDA_FP16):
            warn_if_foreign(TARGETS, targetId, "target")
        self.choose_target()

    def choose_target(self) -> None:
        if self.live is not None:
            self.live.use_target(choose_target(self.preferred_backend, self.preferred_target))
            self.forget_results()

    def enableFusion(self, fusion: bool) -> None:
        """Nothing: fusion does not change what a layer is seen to make."""

    def enableWinograd(self, useWinograd: bool) -> None:
        """Nothing: the target decides, by an algorithm's error, too."""

    def setHalideScheduler(self, scheduler: str) -> None:
        """Nothing: there is no Halide."""

    def getPerfProfile(self) -> tuple[int, Array]:
        """Nanoseconds of the last run, which are OpenCV's ticks, and those of each layer, f64, whose sum that is.

        The layers' shares are measured once for each set of layers that are asked for, and shapes, by running the net
        step by step. A layer that was fused into another one takes no time of its own.
        """
        with as_opencv():
            if not self.asked:
                return self.ticks, np.zeros(len(self.layers))
            key = (tuple(self.asked), tuple(x.shape for x in self.values.values()))
            if key not in self.shares:
                times = self.finalize().time_layers(self.values, self.asked)
                seconds = times.seconds if times else {}
                found = np.array([seconds.get(layer.number, 0.0) for layer in self.layers.values()])
                self.shares[key] = found / max(found.sum(), 1e-12)
            return self.ticks, self.shares[key] * self.ticks

    def compute(self, keys: Sequence[Key]) -> list[Array]:
        """What layers make, for the inputs that are set: what is known already, or a run.

        A run computes, too, what the program asked for after the first of these keys for the inputs before: then two
        calls of `forward` for one picture are one run.
        """
        live = self.finalize()
        missing = [*dict.fromkeys(key for key in keys if key not in self.results)]
        if missing and self.asked:
            self.results.update(self.run_timed(live, missing))
            self.companions.setdefault(self.asked[0], []).extend(missing)
        elif missing:
            together = [*dict.fromkeys([*missing, *self.companions.get(missing[0], ())])]
            try:
                self.results.update(self.run_timed(live, together))
            except Exception:
                if together == missing:
                    raise
                del self.companions[missing[0]]  # it is not possible for these inputs
                self.results.update(self.run_timed(live, missing))
        self.asked += [key for key in keys if key not in self.asked]
        return [self.results[key].copy() for key in keys]

    def forget_companions(self) -> None:
        """Compute no longer in advance what the program did not ask for this time."""
        if self.asked and (known := self.companions.get(self.asked[0])):
            self.companions[self.asked[0]] = [key for key in known if key in self.asked]
        self.asked.clear()

    def run_timed(self, live: LiveNet, keys: Sequence[Key]) -> dict[Key, Array]:
        start = perf_counter_ns()
        made = dict(zip(keys, self.run(live, self.values, keys), strict=True))
        self.ticks = perf_counter_ns() - start
        return made

    def run(self, live: LiveNet, values: dict[str, Array], keys: Sequence[Key]) -> list[Array]:
        """A run for these inputs, in OpenCV's shapes."""
        if not values and live.inputs:
            raise CompileError(f'the input "{live.inputs[0]}" is not set', advice="Call setInput before forward.")
        made = live.run(values, keys)
        images = len(next(iter(values.values()), [0]))
        return [opencv_result(live, key, x, images) for key, x in zip(keys, made, strict=True)]

    def __repr__(self) -> str:
        return f"< cortado.compat.opencv.Net of {len(self.layers)} layers >"


def text_of(name: Any) -> str:
    """A name as text; "" for None. `error` for anything else."""
    if not isinstance(name, str | bytes | None):
        raise error(f"the name of a layer is a text, not {name!r}", BAD_ARGUMENT)
    return name.decode() if isinstance(name, bytes) else name or ""


def is_names(given: Any) -> bool:
    """True for a list of names."""
    return isinstance(given, Sequence) and not isinstance(given, str) and all(isinstance(n, str) for n in given)
