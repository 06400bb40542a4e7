"""Layers in Python, classes with setup, reshape and forward, of modules that a script has imported or trusts."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import count
from threading import RLock
from typing import Any, NoReturn

import numpy as np
import torch

from ...frontends.caffe.layer import MANY
from ...frontends.caffe.layers.python import PYTHON_LAYERS
from ...frontends.caffe.message_builder import replace_fields
from ...frontends.caffe.register import register_layer, unregister_layer
from ...frontends.caffe.upgrade import upgrade_net
from ...frontends.files.message import Message
from ..live_net import LiveNet
from .blob import BlobMemory, BlobVec, CaffeBlob
from .errors import refuse_gradients
from .mode import MODE

PREFIX = "Python#"  # of the layer types that stand for instances of classes, each with a number of its own
SERIAL = count(1)


class CaffePythonLayer:
    """`caffe.Layer`: the base of layers in Python. They have no learnt blobs here."""

    type = "Python"
    param_str = param_str_ = ""  # the second is its name in older versions of Caffe
    phase = 0
    blobs: Sequence[CaffeBlob] = ()

    def setup(self, bottom: Sequence[CaffeBlob], top: Sequence[CaffeBlob]) -> None:
        """Read the settings; called once."""

    def reshape(self, bottom: Sequence[CaffeBlob], top: Sequence[CaffeBlob]) -> None:
        """Give the tops their shapes; called before each forward."""

    def forward(self, bottom: Sequence[CaffeBlob], top: Sequence[CaffeBlob]) -> None:
        """Compute the tops' data."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> NoReturn:
        """CaffeError: there are no gradients."""
        refuse_gradients()


class RunningLayer:
    """An instance of a class for one layer of a net; its calls are one after the other."""

    def __init__(self, layer_class: type, message: Message, phase: int) -> None:
        settings = message["python_param"]
        self.label = f'layer "{message["name"]}" ({settings["module"]}.{settings["layer"]})'
        self.instance: Any = layer_class()
        self.instance.param_str = self.instance.param_str_ = settings["param_str"]
        self.instance.phase, self.instance.blobs = phase, BlobVec()
        self.bottoms = [CaffeBlob(BlobMemory(), ()) for _ in message["bottom"]]
        shared = dict(zip(message["bottom"], self.bottoms, strict=True))  # a layer may write its bottom in place
        self.tops = [shared.get(name) or CaffeBlob(BlobMemory(), ()) for name in message["top"]]
        self.is_set_up, self.lock = False, RLock()

    def reshape(self, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The shapes of the tops for these of the bottoms."""
        for blob, shape in zip(self.bottoms, shapes, strict=True):
            blob.reshape(*shape)
        if not self.is_set_up:
            self.instance.setup(self.bottoms, self.tops)
            self.is_set_up = True
        self.instance.reshape(self.bottoms, self.tops)
        return [blob.shape for blob in self.tops]

    def infer_shapes(self, settings: Mapping[str, Any], *shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
        with self.lock:
            return self.reshape(shapes)

    def run(self, settings: Mapping[str, Any], *arrays: torch.Tensor) -> list[torch.Tensor]:
        """The tops. ValueError if their shapes depend on the data, which no plan is made for."""
        with self.lock:
            due = self.reshape([tuple(array.shape) for array in arrays])
            for blob, array in zip(self.bottoms, arrays, strict=True):
                blob.data[...] = array.numpy()
            self.instance.forward(self.bottoms, self.tops)
            if (made := [blob.shape for blob in self.tops]) != due:
                shapes = " and ".join(", ".join(str(list(s)) for s in each) for each in (made, due))
                raise ValueError(
                    f"{self.label} makes {shapes} by reshape: a shape that depends on data is not supported"
                )
            return [torch.from_numpy(np.array(blob.data)) for blob in self.tops]


def run_python_layers(net: LiveNet, owner: object) -> LiveNet:
    """The net with its Python layers as registered layers of cortado, for as long as `owner` lives.

    Those that cortado itself computes, as Faster R-CNN's proposals, stay. CompileError for a layer whose module is
    neither imported nor trusted, or whose class is no caffe.Layer.
    """
    layers: tuple[Message, ...] = upgrade_net(net.message, [])["layer"]
    chosen = [layer for layer in net.kept if layer["type"] == "Python" and python_name(layer) not in PYTHON_LAYERS]
    if not chosen:
        return net
    places = {layer.loc for layer in chosen}
    phase = int(net.state.phase == "TEST")
    made = [substitute(layer, phase, owner) if layer.loc in places else layer for layer in layers]
    return net.with_message(replace_fields(upgrade_net(net.message, []), layer=tuple(made)))


def python_name(layer: Message) -> str:
    """The module and the class of a Python layer."""
    return f"{layer['python_param']['module']}.{layer['python_param']['layer']}"


def substitute(layer: Message, phase: int, owner: object) -> Message:
    """A Python layer as a registered layer of cortado."""
    if not layer["bottom"]:
        advice = "Put an Input layer in its place, and write net.blobs[...].data."
        raise layer.fault(f'layer "{layer["name"]}" (Python): it has no bottom, and brings data', None, advice)
    type = f"{PREFIX}{next(SERIAL)}"
    running = RunningLayer(find_class(layer), layer, phase)
    register_layer(type, running.run, shapes=running.infer_shapes, bottoms=(1, MANY), tops=(1, MANY))
    weakref.finalize(owner, unregister_layer, type)
    return replace_fields(layer, type=(type,), python_param=())


def find_class(layer: Message) -> type:
    """The class of a Python layer. CompileError if its module is neither imported nor trusted, or has none."""
    module, name = layer["python_param"]["module"], layer["python_param"]["layer"]
    label = f'layer "{layer["name"]}" (Python)'
    if module not in sys.modules and not MODE.trusts_layers:
        advice = f"If you trust {module}.py, import it before the net is read, or call caffe.trust_python_layers()."
        raise layer.fault(f"{label}: its code, {module}.{name}, is not in the file, and not run", None, advice)
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as e:
        raise layer.fault(f"{label}: its module {module} cannot be imported ({e})", None) from None
    if not (isinstance(found, type) and issubclass(found, CaffePythonLayer)):
        raise layer.fault(f"{label}: {module} has no class {name} that is a caffe.Layer", None)
    return found


def trust_python_layers() -> None:
    """Import the modules that Python layers of nets name, from now on, and run their code, as pycaffe does."""
    MODE.trusts_layers = True
