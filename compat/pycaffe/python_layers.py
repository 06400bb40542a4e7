"""Layers in Python, classes with setup, reshape and forward, of modules that a script has imported or trusts."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from typing import Any, NoReturn

from ...compiler.errors import CompileError
from ...frontends.caffe.layer import MANY
from ...frontends.caffe.layers.python import PYTHON_LAYERS
from ...frontends.caffe.message_builder import replace_fields
from ...frontends.caffe.register import register_layer, unregister_layer
from ...frontends.caffe.upgrade import upgrade_net
from ...frontends.files.message import Message
from ..live_net import LiveNet
from .blob import CaffeBlob
from .errors import refuse_gradients
from .mode import MODE
from .running_layer import RunningLayer

PREFIX = "Python#"  # of the layer types that stand for instances of classes, each with a number of its own
SERIAL = count(1)


class CaffePythonLayer:
    """`caffe.Layer`: the base of layers in Python. In setup, one with learnt blobs calls `self.blobs.add_blob(...)`."""

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


class PythonLayers:
    """The layers in Python of a net, by number: those that compute `run`, and those without bottoms are `sources`.

    `net` has the first as registered layers of cortado, and Input layers in place of the others.
    """

    def __init__(self, net: LiveNet, layers: Sequence[RunningLayer] = ()) -> None:
        self.net = net
        self.sources = {layer.number: layer for layer in layers if not layer.bottoms}
        self.run = {layer.number: layer for layer in layers if layer.bottoms}
        self.all = {layer.number: layer for layer in layers}

    @property
    def tops(self) -> set[str]:
        """The tops of those that compute: each forward runs each of them once, whoever reads what it makes."""
        return {top for layer in self.run.values() for top in layer.message["top"]}

    @property
    def brought(self) -> set[str]:
        """The tops of sources."""
        return {top for layer in self.sources.values() for top in layer.message["top"]}

    def bring_data(self, blobs: Mapping[str, CaffeBlob]) -> None:
        """Have the sources write the blobs of their tops, which take the sizes of what they make."""
        for layer in self.sources.values():
            for top, array in zip(layer.message["top"], layer.bring_data(), strict=True):
                blobs[top].reshape(*array.shape)
                blobs[top].data[...] = array

    def reshape(self, blobs: Mapping[str, CaffeBlob]) -> None:
        """Give the tops of sources the sizes that these say now."""
        for layer in self.sources.values():
            for top, shape in zip(layer.message["top"], layer.infer_shapes({}), strict=True):
                blobs[top].reshape(*shape)

    @contextmanager
    def replay(self) -> Iterator[None]:
        """Have the layers give again what they made in the last forward, until the block ends."""
        for layer in self.run.values():
            layer.replays = True
        try:
            yield
        finally:
            for layer in self.run.values():
                layer.replays = False

    def share(self, other: PythonLayers) -> None:
        """Use the learnt blobs of the other net's layers of the same names. CompileError if their shapes differ."""
        theirs = {layer.name: layer.blobs for layer in other.all.values()}
        pairs = [(layer, theirs[layer.name]) for layer in self.all.values() if layer.name in theirs]
        for layer, blobs in pairs:
            if [blob.shape for blob in layer.blobs] != [blob.shape for blob in blobs]:
                raise CompileError(f'layer "{layer.name}" has blobs of other shapes in the other net')
        for layer, blobs in pairs:
            for mine, given in zip(layer.blobs, blobs, strict=True):
                mine._memory = given._memory


def run_python_layers(net: LiveNet, owner: object) -> PythonLayers:
    """The Python layers of a net, and the net that runs them, registered for as long as `owner` lives.

    Those that cortado itself computes, as Faster R-CNN's proposals, stay. CompileError for a layer whose module is
    neither imported nor trusted, or whose class is no caffe.Layer.
    """
    upgraded = upgrade_net(net.message, [])
    chosen = {
        layer.loc: number
        for number, layer in enumerate(net.kept)
        if layer["type"] == "Python" and python_name(layer) not in PYTHON_LAYERS
    }
    if not chosen:
        return PythonLayers(net)
    phase, running, made = int(net.state.phase == "TEST"), list[RunningLayer](), list[Message]()
    for layer in upgraded["layer"]:
        if layer.loc in chosen:
            running.append(RunningLayer(find_class(layer), layer, chosen[layer.loc], phase))
            layer = substitute(running[-1], owner)
        made.append(layer)
    return PythonLayers(net.with_message(replace_fields(upgraded, layer=tuple(made))), running)


def python_name(layer: Message) -> str:
    """The module and the class of a Python layer."""
    return f"{layer['python_param']['module']}.{layer['python_param']['layer']}"


def substitute(running: RunningLayer, owner: object) -> Message:
    """A Python layer as a registered layer of cortado or, without bottoms, as an Input layer."""
    layer = running.message
    if any(spec["name"] for spec in layer["param"]):
        raise layer.fault(f"{running.label}: layers in Python share no blobs by the names of `param`", "param")
    if not running.bottoms:
        dims = [Message("BlobShape", layer.loc, layer.text, {"dim": shape}) for shape in running.infer_shapes({})]
        settings = Message("InputParameter", layer.loc, layer.text, {"shape": tuple(dims)})
        return replace_fields(layer, type=("Input",), param=(), python_param=(), input_param=(settings,))
    type = f"{PREFIX}{next(SERIAL)}"
    register_layer(type, running.run, shapes=running.infer_shapes, bottoms=(1, MANY), tops=(1, MANY))
    weakref.finalize(owner, unregister_layer, type)
    return replace_fields(layer, type=(type,), param=(), python_param=())


def find_class(layer: Message) -> type:
    """The class of a Python layer. CompileError if its module is neither imported nor trusted, or has none."""
    module, name = layer["python_param"]["module"], layer["python_param"]["layer"]
    label = f'layer "{layer["name"]}" (Python)'
    if module not in sys.modules and not MODE.trusts_layers:
        advice = f"If you trust {module}.py, import it before the net is read, or call caffe.trust_python_layers()."
        if not layer["bottom"]:
            advice += " Or put an Input layer in its place, and write net.blobs[...].data."
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
