"""The primitive `user`: a step computed by a function passed to load(layers=...), never by code from the artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from .primitive import CallSite, Primitive, Run

LayerFunction = Callable[..., Tensor | Sequence[Tensor]]
"""layer(attributes, *operands) -> one result or several, as new tensors in Caffe's axis order."""


def make_user_primitive(layers: Mapping[str, LayerFunction]) -> Primitive:
    """The primitive `user` over the caller's functions, by the name of the layer type."""

    def prepare(call: CallSite) -> Run:
        name = call.attributes["layer"]
        if name not in layers:
            raise ValueError(f"it needs your function {name!r}: give load(..., layers={{{name!r}: function}})")
        layer, attributes = layers[name], call.attributes["attributes"]

        def run(results: Sequence[Tensor], operands: Sequence[Tensor]) -> Sequence[Tensor]:
            made = layer(attributes, *operands)
            return (made,) if isinstance(made, Tensor) else tuple(made)

        return run

    return Primitive(prepare, infer_shapes=None)
