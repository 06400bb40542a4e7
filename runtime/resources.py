"""The resources of a plan: tensors, the caller's functions, and a cache of packed weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .plan import Plan
from .primitives import LayerFunction, PackedWeights


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that a runner gets with a plan.

    `weights` are the artifact's tensors by handle, `binaries` runner-specific tensors by name, such as machine code;
    `layers` are the caller's functions for `user` steps; `packed_weights` is shared by all plans of a net.
    """

    weights: Mapping[str, Tensor]
    binaries: Mapping[str, Tensor] = field(default_factory=dict)
    layers: Mapping[str, LayerFunction] = field(default_factory=dict)
    packed_weights: PackedWeights = field(default_factory=PackedWeights)

    def constants(self, plan: Plan) -> dict[str, Tensor]:
        """The plan's weights by name, in their logical shapes; views of the artifact's tensors."""
        return {name: self.weights[w.handle].reshape(w.shape) for name, w in plan.weights.items()}
