"""The operator that somebody else computes: a layer of the caller's, known by its name while he registers it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..op import Op, Trait, did_you_mean, op
from ..registry import Registry
from ..types import TensorType

Settings = Mapping[str, Any]
Shape = tuple[int, ...]
ShapeFunction = Callable[
    ..., "Shape | list[Shape]"
]  # (settings, *shapes of the operands) -> that of the result, or a list
RunFunction = Callable[..., "Tensor | Sequence[Tensor]"]  # (settings, *operands) -> the result, or several


@dataclass(frozen=True, slots=True)
class RegisteredLayer:
    """What the caller tells of his layer."""

    infer_shapes: ShapeFunction
    run: RunFunction


REGISTERED_LAYERS: Registry[RegisteredLayer] = Registry("layer")


@op("user", operands=(1, None))
class User(Op):
    """What the caller's function for `layer` makes of the operands (cortado.register_layer); settings are JSON."""

    layer: str
    settings: str = "{}"

    traits = frozenset({Trait.ROW_MAJOR_ONLY})  # the function sees images as Caffe has them

    @property
    def parsed_settings(self) -> dict[str, Any]:
        """The settings. ValueError if they are no JSON object."""
        try:
            found = json.loads(self.settings)
        except json.JSONDecodeError as e:
            raise ValueError(f"its settings are no JSON: {e}") from None
        if not isinstance(found, dict):
            raise ValueError("its settings are a JSON object: {...}")
        return found

    @property
    def registered_layer(self) -> RegisteredLayer:
        if self.layer not in REGISTERED_LAYERS:
            known = did_you_mean(self.layer, REGISTERED_LAYERS)
            raise ValueError(f'no layer "{self.layer}" is registered{known}: cortado.register_layer makes it known')
        return REGISTERED_LAYERS[self.layer]

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        made = self.registered_layer.infer_shapes(self.parsed_settings, *(x.shape for x in operands))
        dtype = operands[0].dtype if operands else "f32"
        every = made if isinstance(made, list) else [made]
        if not all(isinstance(s, Sequence) and all(type(d) is int and d >= 0 for d in s) for s in every):
            raise ValueError(f'"{self.layer}" says its result has the shape {made!r}: sizes are whole numbers')
        return tuple(TensorType(dtype, tuple(s)) for s in every)

    def reference(self, *operands: Tensor) -> tuple[Tensor, ...]:
        made = self.registered_layer.run(self.parsed_settings, *operands)
        return (made,) if isinstance(made, Tensor) else tuple(made)
