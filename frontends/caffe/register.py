"""Registration of custom layers: a function that computes a layer, and the settings, blobs and shapes it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...compiler.ir import Value
from ...compiler.ops.user import REGISTERED_LAYERS, RegisteredLayer, RunFunction, Shape, ShapeFunction, User
from ...compiler.suggestion import did_you_mean
from ..files.message import Message
from ..files.schema import field_types
from . import layers as layers  # which enter themselves in LAYERS, and are not to be replaced
from .layer import LAYERS, Layer, LayerType, count_range, shortest_decimal

Blobs = Callable[..., Sequence[Shape]]


def register_layer(
    type: str,
    run: Callable[..., Any],
    *,
    shapes: ShapeFunction | None = None,
    param: str | None = None,
    bottoms: int | tuple[int, int] = 1,
    tops: int | tuple[int, int] = 1,
    blobs: Blobs | None = None,
) -> None:
    """Make a layer type known that Caffe's files may name, and that cortado lacks, for as long as the program runs.

    `run(settings, *arrays)` computes it: torch tensors of the bottoms and then of the learnt blobs, in Caffe's axis
    order, give the top, or a list of tops, as tensors or numpy arrays. It is pure, and may be called by many threads.
    `shapes(settings, *shapes)` tells the top's shape as a tuple, or a list of tuples; without it, the top is shaped as
    the first bottom. `blobs(settings, *shapes of bottoms)` tells the shapes of the learnt blobs, if it has any.
    `param` is the field of the file with the layer's settings (of Caffe's schema: `python_param` is one that holds any
    text); they come as a dict, with Caffe's defaults. `bottoms`, `tops`: how many, or least and most.

    A file compiled with it names the layer, and holds nothing of `run`: the program that loads it registers the layer
    too, or passes load(..., layers={type: run}). A type that was registered before is replaced, so that a notebook's
    cell can be run again; `unregister_layer` removes it. ValueError if cortado computes that type itself.
    """
    if type in LAYERS and type not in REGISTERED_LAYERS:
        raise ValueError(f"{type} is a layer that cortado computes itself; give your layer another type")
    fields = field_types("LayerParameter")
    if param is not None and (param not in fields or not fields[param].message):
        raise ValueError(f"a layer of Caffe's has no settings called {param}{did_you_mean(param, fields)}")

    def compute(settings: Mapping[str, Any], *arrays: Tensor) -> list[Tensor]:
        made = run(settings, *arrays)
        return [torch.as_tensor(x) for x in (made if isinstance(made, list | tuple) else [made])]

    def read(l: Layer, *given: Value) -> tuple[Value, ...]:
        settings = to_dict(l.param) if param else {}
        known = [l.sizes(x.type.dims) for x in given]
        learnt = [l.weight(shape, f"blob{i}") for i, shape in enumerate(blobs(settings, *known) if blobs else ())]
        return l.emit_all(User(layer=type, settings=json.dumps(settings, sort_keys=True)), *given, *learnt)

    REGISTERED_LAYERS.replace(type, RegisteredLayer(shapes or shape_of_first, compute))
    LAYERS.replace(type, LayerType(read, param, count_range(bottoms), count_range(tops)))


def unregister_layer(type: str) -> None:
    """Unregister a layer type. ValueError if it is not registered."""
    if type not in REGISTERED_LAYERS:
        raise ValueError(f"no layer {type} is registered{did_you_mean(type, REGISTERED_LAYERS)}")
    REGISTERED_LAYERS.remove(type)
    LAYERS.remove(type)


def shape_of_first(settings: Mapping[str, Any], first: Shape, *others: Shape) -> Shape:
    return first


def to_dict(message: Message) -> dict[str, Any]:
    """All settings of a message as a dict, with Caffe's defaults for missing ones; nested messages as dicts."""
    enums = {name: kind for name, kind in message.field_types.items() if kind.type == "enum"}
    for name, kind in enums.items():  # the function gets any value
        message.choice(name, dict.fromkeys(kind.numbers), message.type)
    return {name: to_plain(message[name]) for name in message.field_types}


def to_plain(value: Any) -> Any:
    match value:
        case Message():
            return to_dict(value)
        case tuple():
            return [to_plain(x) for x in value]
        case float():
            return shortest_decimal(value)
    return value


def registered_layers() -> dict[str, RunFunction]:
    """The functions of all registered layers by type, for the runtime."""
    return {name: known.run for name, known in REGISTERED_LAYERS.items()}
