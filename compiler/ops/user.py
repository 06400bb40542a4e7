"""The operator of layers that a caller registers by name, with a Python function."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..op import Op, Trait, op
from ..registry import Registry
from ..suggestion import did_you_mean
from ..types import TensorType

Settings = Mapping[str, Any]
Shape = tuple[int, ...]
# (settings, *shapes of the operands) -> shape of the result, or a list of shapes
ShapeFunction = Callable[..., "Shape | list[Shape]"]
RunFunction = Callable[..., "Tensor | Sequence[Tensor]"]  # (settings, *operands) -> the result, or several


@dataclass(frozen=True, slots=True)
class RegisteredLayer:
    """The functions of a registered layer: shape inference, and computation."""

    infer_shapes: ShapeFunction
    run: RunFunction


REGISTERED_LAYERS: Registry[RegisteredLayer] = Registry("layer")


@op("user", operands=(1, None))
class User(Op):
    """Call the function registered for `layer` (cortado.register_layer); `settings` is a JSON object."""

    layer: str
    settings: str = "{}"

    traits = frozenset({Trait.ROW_MAJOR_ONLY})  # the function gets images in Caffe's order

    @property
    def parsed_settings(self) -> dict[str, Any]:
        """The settings. ValueError unless they are a JSON object."""
        try:
            found = json.loads(self.settings)
        except json.JSONDecodeError as e:
            raise ValueError(f"the settings are not JSON: {e}") from None
        if not isinstance(found, dict):
            raise ValueError("the settings have to be a JSON object: {...}")
        return found

    @property
    def registered_layer(self) -> RegisteredLayer:
        """The functions registered for `layer`. ValueError if there are none."""
        if self.layer not in REGISTERED_LAYERS:
            known = did_you_mean(self.layer, REGISTERED_LAYERS)
            raise ValueError(f'no layer "{self.layer}" is registered{known}: register it with cortado.register_layer')
        return REGISTERED_LAYERS[self.layer]

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        made = self.registered_layer.infer_shapes(self.parsed_settings, *(x.shape for x in operands))
        dtype = operands[0].dtype if operands else "f32"
        every = made if isinstance(made, list) else [made]
        if not all(isinstance(s, Sequence) and all(type(d) is int and d >= 0 for d in s) for s in every):
            raise ValueError(f'"{self.layer}" infers the shape {made!r}: sizes are integers of 0 or more')
        return tuple(TensorType(dtype, tuple(s)) for s in every)

    def reference(self, *operands: Tensor) -> tuple[Tensor, ...]:
        made = self.registered_layer.run(self.parsed_settings, *operands)
        return (made,) if isinstance(made, Tensor) else tuple(made)
