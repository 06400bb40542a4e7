"""Steps computed on the host between two CUDA graphs: primitives without a GPU kernel, and users' layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..host_step import PreparedStep, run_dynamic
from ..plan import Shape, Slot, Step, upper_bound
from .device import Device
from .device_values import DeviceValue


class HostStep:
    """One step: copy operands to the host, run the primitive, copy results back."""

    def __init__(
        self,
        device: Device,
        ready: PreparedStep,
        device_values: Mapping[str, DeviceValue],
        weights: Mapping[str, Tensor],
    ) -> None:
        self.device, self.prepared_step, self.weights = device, ready, weights
        names = dict.fromkeys((*ready.step.operands, *ready.step.results))
        self.device_values = {name: device_values[name] for name in names if name in device_values}
        self.host_memory = {name: value.allocate_host() for name, value in self.device_values.items()}

    def __call__(self, stream: int, shapes: dict[str, Shape]) -> None:
        """Run the step; `shapes` are the dynamic shapes of this run. ValueError if a result does not fit its slot."""
        step = self.prepared_step.step
        subviews = [name for name in step.results if self.device_values[name].slot.channels]  # keep the other channels
        for name in dict.fromkeys((*step.operands, *subviews)):
            if name in self.device_values:
                self.device_values[name].copy_to_host(self.host_memory[name], stream)
        self.device.driver.cuStreamSynchronize(stream)
        with torch.inference_mode():
            self.compute([self.value(name, shapes) for name in step.operands], shapes)
        for name in step.results:
            self.device_values[name].copy_from_host(self.host_memory[name], stream)

    def value(self, name: str, shapes: Mapping[str, Shape]) -> Tensor:
        if name in self.weights:
            return self.weights[name]
        return self.device_values[name].view_in(self.host_memory[name], shapes.get(name))

    def compute(self, operands: list[Tensor], shapes: dict[str, Shape]) -> None:
        ready, step = self.prepared_step, self.prepared_step.step
        if not ready.has_dynamic_shape:
            ready.run([self.value(name, shapes) for name in step.results], operands)
            return

        def place(name: str, shape: Shape) -> Tensor:
            shapes[name] = shape
            return self.value(name, shapes)

        run_dynamic(ready, operands, {name: value.slot for name, value in self.device_values.items()}, place)


def propagate_shapes(step: Step, slots: Mapping[str, Slot], shapes: dict[str, Shape]) -> None:
    """Add the dynamic shapes of a kernel's results: a dimension "?300" has the size it has in an operand."""
    sizes = {
        dim: size
        for name in step.operands
        if name in shapes
        for dim, size in zip(slots[name].dims, shapes[name], strict=True)
        if isinstance(dim, str)
    }
    for name in step.results:
        if not slots[name].is_static:
            shapes[name] = tuple(sizes.get(d, upper_bound(d)) if isinstance(d, str) else d for d in slots[name].dims)
