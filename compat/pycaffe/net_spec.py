"""Nets written in Python: `NetSpec`, `layers` and `params` make a NetParameter, which prints as a prototxt."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from .proto import caffe_pb2

Names = dict[Any, str]  # of tops and of functions
LayerMessages = dict["Function", Any]


class Top:
    """Output `n` of a layer `fn`, as layers take it for a bottom."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> Any:
        """The NetParameter of all layers that this top needs."""
        return to_proto(self)

    def _to_proto(self, layers: LayerMessages, names: Names, autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer: type, bottoms and settings. `ntop` is its number of tops; `in_place` writes them into the bottoms."""

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: Mapping[str, Any]) -> None:
        for index, bottom in enumerate(inputs):
            if not isinstance(bottom, Top):
                raise TypeError(f"{type_name}: bottom {index} is a {type(bottom).__name__}, not a top of a layer")
        settings = dict(params)
        self.type_name, self.inputs = type_name, inputs
        self.ntop: int = settings.pop("ntop", 1)
        self.in_place: bool = settings.pop("in_place", False)
        self.params = settings
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _name(self, names: Names, autonames: Counter[str]) -> str:
        """The layer's name: that of its first top."""
        if self not in names:
            names[self] = self._top_name(self.tops[0], names, autonames) if self.tops else self._automatic(autonames)
        return names[self]

    def _top_name(self, top: Top, names: Names, autonames: Counter[str]) -> str:
        if top not in names:
            names[top] = self._automatic(autonames)
        return names[top]

    def _automatic(self, autonames: Counter[str]) -> str:
        autonames[self.type_name] += 1
        return f"{self.type_name}{autonames[self.type_name]}"

    def _to_proto(self, layers: LayerMessages, names: Names, autonames: Counter[str]) -> None:
        """Add this layer, and before it those of its bottoms, to `layers`."""
        if self in layers:
            return
        for bottom in self.inputs:
            bottom._to_proto(layers, names, autonames)
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        layer.bottom.extend(layers[bottom.fn].top[bottom.n] for bottom in self.inputs)
        tops = layer.bottom if self.in_place else [self._top_name(top, names, autonames) for top in self.tops]
        layer.top.extend(tops)
        layer.name = self._name(names, autonames)
        for name, value in self.params.items():
            assign_proto(self._message_with(layer, name), name, value)
        layers[self] = layer

    def _message_with(self, layer: Any, name: str) -> Any:
        """The message that has the setting: the one of the layer's type, or the layer itself."""
        own = param_name_dict().get(self.type_name)
        message = getattr(layer, f"{own}_param") if own and not name.endswith("param") else layer
        return message if name in message.DESCRIPTOR.fields_by_name else layer


class NetSpec:
    """Tops by name: `n.conv1 = L.Convolution(n.data, ...)`. `to_proto` makes a NetParameter of them."""

    tops: dict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name not in self.tops:
            raise AttributeError(f"this net has no top {name}")
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def to_proto(self) -> Any:
        """A NetParameter of the layers of all tops, in the order in which these were assigned."""
        return assemble(list(self.tops.values()), {top: name for name, top in self.tops.items()})


def to_proto(*tops: Top) -> Any:
    """A NetParameter of all layers that the tops need, with names made from the layers' types."""
    return assemble(tops, {})


def assemble(tops: Any, names: Names) -> Any:
    layers, autonames = LayerMessages(), Counter[str]()
    for top in tops:
        top._to_proto(layers, names, autonames)
    return caffe_pb2.NetParameter(layer=layers.values())


def assign_proto(proto: Any, name: str, value: Any) -> None:
    """Set a field: a dict is a message, a list a repeated field; one value of a repeated field may stand alone."""
    if name not in proto.DESCRIPTOR.fields_by_name:
        raise AttributeError(f"{proto.DESCRIPTOR.name} has no field {name}")
    if proto.DESCRIPTOR.fields_by_name[name].is_repeated:
        field, values = getattr(proto, name), value if isinstance(value, list | tuple) else [value]
        for item in values:
            if isinstance(item, dict):
                assign_fields(field.add(), item)
            else:
                field.append(item)
    elif isinstance(value, dict):
        getattr(proto, name).SetInParent()
        assign_fields(getattr(proto, name), value)
    else:
        setattr(proto, name, value)


def assign_fields(proto: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(proto, name, value)


@functools.cache
def param_name_dict() -> dict[str, str]:
    """The settings of layers by type: "Convolution" to "convolution", of convolution_param: ConvolutionParameter."""
    fields = [f for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields if f.name.endswith("_param") and f.message_type]
    return {f.message_type.name.removesuffix("Parameter"): f.name.removesuffix("_param") for f in fields}


class Layers:
    """A function for each layer type: `Layers().Convolution(bottom, num_output=8, kernel_size=3)` is a top, or tops."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def make_layer(*bottoms: Top, **settings: Any) -> Any:
            made = Function(name, bottoms, settings)
            return {0: made, 1: made.tops[0] if made.tops else made}.get(made.ntop, made.tops)

        return make_layer


class Parameters:
    """The enums of layers' settings: `Parameters().Pooling.MAX`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(caffe_pb2, f"{name}Parameter")


layers = Layers()
params = Parameters()
