"""What a net consists of, as cv2.dnn.Net tells it: layers, ids, learnt blobs, shapes, operations, memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.dot import dot
from ...compiler.errors import CompileError
from ...runtime.output import write_file
from ..live_net import LiveNet
from . import measures
from .custom import CLASSES, substitute
from .errors import BAD_ARGUMENT, OBJECT_NOT_FOUND, as_opencv, error
from .layer import Layer
from .named_layer import NamedLayer, name_layers

Array = np.ndarray[Any, Any]
Names = Sequence[str]
WITH_BIAS = ("Convolution", "Deconvolution", "InnerProduct", "Scale")  # which OpenCV lets do without one


class NetStructure:
    """The part of `Net` that runs nothing. Layers have ids from 1 on; 0 stands for the inputs."""

    def __init__(self, live: LiveNet | None = None) -> None:
        self.live = live
        self.source = live.message if live else None
        self.classes: dict[str, list[type]] = {}  # registered classes that the net was last read with
        self.layers = name_layers(live.layers) if live else {}
        self.preferred_backend = self.preferred_target = 0

    def empty(self) -> bool:
        """True for a net without layers."""
        return not self.layers

    def getLayerNames(self) -> tuple[str, ...]:
        return tuple(self.layers)

    def getLayerId(self, layer: str) -> int:
        """The id of a layer by its name; -1 if there is none."""
        if layer == "_input":
            return 0
        with suppress(error):
            found = self.layer_named(layer)
            return [*self.layers.values()].index(found) + 1
        return -1

    def getLayer(self, layerId: Any) -> Layer:
        """A layer by its id or its name."""
        if not isinstance(layerId, str | Integral):
            raise error(f"a layer is given by its id or its name, not by {layerId!r}", BAD_ARGUMENT)
        id = self.getLayerId(layerId) if isinstance(layerId, str) else int(layerId)
        if not 0 <= id <= len(self.layers):
            raise error(f"the net has no layer {layerId!r}; it has {len(self.layers)}", OBJECT_NOT_FOUND)
        if id == 0:
            return Layer(self, 0, "_input", "")
        name = [*self.layers][id - 1]
        return Layer(self, id, name, self.layers[name].type)

    def getLayerTypes(self) -> tuple[str, ...]:
        """The types of the layers, sorted, each once."""
        return tuple(sorted({layer.type for layer in self.layers.values()} | {"__NetInputLayer__"}))

    def getLayersCount(self, layerType: str) -> int:
        return sum(layer.type == layerType for layer in self.layers.values())

    def getUnconnectedOutLayers(self) -> Array:
        """The ids, i32, of the layers of which no layer reads what they make."""
        names = self.getUnconnectedOutLayersNames()
        return np.array([self.getLayerId(name) for name in names], np.int32)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        readers = measures.count_readers([*self.layers.values()])
        return tuple(name for name, count in zip(self.layers, readers, strict=True) if not count)

    def getParam(self, layer: Any, numParam: int = 0) -> Array:
        """A copy of a learnt blob of a layer, given by id or name."""
        blobs = self.getLayer(layer).blobs
        if not 0 <= numParam < len(blobs):
            raise error(f"layer {layer!r} has {len(blobs)} learnt blobs, and none of number {numParam}")
        return blobs[numParam]

    def setParam(self, layer: Any, numParam: int, blob: Any) -> None:
        """Replace a learnt blob of a layer, given by id or name."""
        found = self.getLayer(layer)
        blobs: list[Any] = [*found.blobs]
        if not 0 <= numParam <= len(blobs):
            raise error(f"layer {layer!r} has {len(blobs)} learnt blobs, and none of number {numParam}")
        found.blobs = [*blobs[:numParam], blob, *blobs[numParam + 1 :]]

    def setInputsNames(self, inputBlobNames: Names) -> None:
        """Nothing: inputs have the names of the prototxt."""

    def setInputShape(self, inputName: str, shape: Sequence[int]) -> None:
        """The shape of an input, for what is asked before it is set."""
        live = self.require_live()
        if inputName not in live.inputs:
            raise error(f'the net has no input "{inputName}"', OBJECT_NOT_FOUND)
        live.last_shapes[inputName] = tuple(int(n) for n in shape)

    def getFLOPS(self, *given: Any) -> int:
        """The operations for these shapes of the inputs, or those of one layer: its id and the shapes are given."""
        with as_opencv():
            id, shapes = measures.split_arguments(given)
            counted = measures.count_flops(self.finalize(), measures.named_shapes(self.require_live(), shapes))
            if id == 0:
                return 0
            return sum(counted.values()) if id is None else counted.get(self.layer_of(id).number, 0)

    def getMemoryConsumption(self, *given: Any) -> tuple[int, int]:
        """Bytes of the weights and of all blobs, without reuse of memory; the arguments are those of getFLOPS."""
        with as_opencv():
            id, shapes = measures.split_arguments(given)
            named = measures.named_shapes(self.require_live(), shapes)
            layers = [*self.layers.values()] if id is None else [self.layer_of(id)] if id else []
            return measures.count_memory(self.finalize(), layers, named, with_inputs=not id)

    def getLayersShapes(self, netInputShapes: Any) -> tuple[Array, tuple[Any, ...], tuple[Any, ...]]:
        """The ids of all layers, the shapes of what each takes and of what it makes, for these of the inputs."""
        with as_opencv():
            live = self.finalize()
            named = measures.named_shapes(live, netInputShapes)
            return measures.layer_shapes(live, [*self.layers.values()], named)

    def dump(self) -> str:
        """The net as text for Graphviz, for the shapes of the last run, or else of the file."""
        with as_opencv():
            live = self.finalize()
            return dot(live.output_graph(live.last_shapes))

    def dumpToFile(self, path: str | Path) -> None:
        """Write what `dump` returns to a file."""
        write_file(path, self.dump())

    def finalize(self) -> LiveNet:
        """The net with the layer classes that are registered now."""
        live = self.require_live()
        classes = {type: known for type, known in CLASSES.items() if any(l.type == type for l in self.layers.values())}
        classes = {type: [*known] for type, known in classes.items()}
        if classes != self.classes:
            assert self.source is not None
            self.live = live = live.with_message(substitute(self.source, live.weights, self))
            self.classes = classes
            self.forget_results()
        return live

    def require_live(self) -> LiveNet:
        if self.live is None:
            raise CompileError("this net is empty", advice="Read one: readNetFromCaffe(prototxt, caffemodel).")
        return self.live

    def last_name(self) -> str:
        self.require_live()
        if not self.layers:
            raise CompileError("this net has no layers")
        return [*self.layers][-1]

    def layer_named(self, name: str) -> NamedLayer:
        """A layer by its name, also by that which a convolution has in the file. `error` if there is none."""
        live = self.require_live()
        if name in self.layers:
            return self.layers[name]
        numbers = [layer.number for layer in live.layers if layer.name == name]
        same = [layer for layer in self.layers.values() if layer.number in numbers]
        if same:
            return same[-1]
        made = next((n for n, layer in self.layers.items() if name in layer.tops), None)
        hint = f'; the blob of that name is made by layer "{made}"' if made else ""
        raise error(f'the net has no layer "{name}"{hint}', OBJECT_NOT_FOUND)

    def layer_of(self, id: int) -> NamedLayer:
        """A layer by its id from 1 on."""
        if not 1 <= id <= len(self.layers):
            raise error(f"the net has no layer {id}; it has {len(self.layers)}", OBJECT_NOT_FOUND)
        return [*self.layers.values()][id - 1]

    def read_params(self, id: int) -> list[Array]:
        """The learnt blobs of a layer; as the caffemodel has them, if the net cannot be built yet."""
        if not id:
            return []
        layer, live = self.layer_of(id), self.require_live()
        try:
            return live.read_params(layer.number)
        except CompileError:
            return live.weights.stored_blobs(live.layers[layer.number].name)

    def write_params(self, id: int, arrays: Sequence[Any]) -> None:
        layer = self.layer_of(id)
        self.require_live().write_params(layer.number, arrays, rest_is_zero=layer.type in WITH_BIAS)
        self.forget_results()

    def forget_results(self) -> None:
        """The net has changed: what it computed before no longer holds."""
