"""A prepared plan for an NVIDIA GPU: weights and kernels, loaded once, and instances with separate memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..host_step import PreparedStep, prepare_step
from ..plan import Plan, Shape
from ..primitive_table import PRIMITIVE_TABLE
from ..primitives import PackedWeights
from ..resources import Resources
from .device import Buffer, Device, device
from .instance import CudaInstance
from .interop import current_stream, is_on_gpu, require_same_device, torch_device
from .modules import Kernel, load_kernel

ALIGNMENT = 16  # bytes; compiled kernels assume it of addresses


class CudaProgram:
    """A plan for a GPU, shared by threads: each call takes an instance from the pool, or creates one.

    The first instance is created with the program; concurrent calls create more, which are kept in the pool.
    """

    def __init__(self, plan: Plan, resources: Resources) -> None:
        self.plan = plan
        self.device: Device = device()
        self.constants = resources.constants(plan)
        self.kernels: dict[int, tuple[Kernel, Mapping[str, Any]]] = {}
        self.host_steps: dict[int, PreparedStep] = {}
        self.weights: dict[str, Buffer] = {}
        with self.device.make_current():
            for number, step in enumerate(plan.steps):
                if step.kind == "launch":
                    attributes = PRIMITIVE_TABLE["launch"].complete(step.payload)
                    self.kernels[number] = load_kernel(self.device, attributes, resources)
                    names = [n for n in step.operands if n in plan.weights]
                    self.weights |= {n: self.upload_weight(n, resources.packed_weights) for n in names}
                elif step.kind != "view":
                    self.host_steps[number] = prepare_step(step, plan, self.constants, resources)
            self.pool: deque[CudaInstance] = deque([CudaInstance(self)])

    def upload_weight(self, name: str, packed_weights: PackedWeights) -> Buffer:
        """A weight on the GPU; weights with equal handles share it, also across the net's input shapes."""
        handle, data = self.plan.weights[name].handle, self.constants[name]
        return packed_weights.get(("on the GPU", handle), lambda: self.device.upload(data, f"weight {name!r}"))

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """New tensors in Caffe's axis order, by blob name, on the GPU if an input is there.

        Inputs have the planned dtypes, shapes and layouts. With all inputs on the GPU, the call returns when the work
        is enqueued on torch's current stream.
        """
        with self.device.make_current():
            try:
                instance = self.pool.pop()
            except IndexError:
                instance = CudaInstance(self)
            try:
                return self.run(instance, inputs)
            finally:
                self.pool.append(instance)

    def run(self, instance: CudaInstance, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        here = {name: is_on_gpu(tensor) for name, tensor in inputs.items()}
        for name in (name for name, is_here in here.items() if is_here):
            require_same_device(name, inputs[name], self.device)
        stream = current_stream(self.device) if any(here.values()) else instance.stream.handle
        instance.done.wait(stream)  # the last run of this memory may have been in order on another stream
        try:
            for name, tensor in inputs.items():
                instance.device_values[name].copy_input(tensor, stream, here[name])
            shapes = instance.run(stream, {name: tuple(tensor.shape) for name, tensor in inputs.items()})
            if not any(here.values()):
                return {
                    blob: self.host_result(instance, name, inputs, stream, shapes) for blob, name in self.plan.outputs
                }
            results = {blob: self.gpu_result(instance, name, inputs, shapes) for blob, name in self.plan.outputs}
            if not all(here.values()):  # the caller may change arrays on the host after the call
                self.device.driver.cuStreamSynchronize(stream)
            return results
        finally:
            instance.done.record(stream)

    def host_result(
        self, instance: CudaInstance, name: str, inputs: Mapping[str, Tensor], stream: int, shapes: Mapping[str, Shape]
    ) -> Tensor:
        if (given := inputs.get(name, self.constants.get(name))) is not None:
            return clone_contiguous(given)
        return instance.to_host(name, stream, shapes)

    def gpu_result(
        self, instance: CudaInstance, name: str, inputs: Mapping[str, Tensor], shapes: Mapping[str, Shape]
    ) -> Tensor:
        if (given := inputs.get(name, self.constants.get(name))) is not None:
            return clone_contiguous(given.to(torch_device(self.device)))
        return clone_contiguous(instance.view_of(name, shapes))

    def bind(self, inputs: Mapping[str, Tensor]) -> Callable[[], dict[str, Tensor]]:
        """A call bound to these tensors on the GPU: see `Net.bind`. ValueError if they would have to be copied."""
        for name, tensor in inputs.items():
            if not is_on_gpu(tensor):
                raise ValueError(f"input {name!r} is not on a GPU")
            require_same_device(name, tensor, self.device)
            if tuple(tensor.shape) != (bounds := self.plan.slots[name].bounds):
                raise ValueError(f"input {name!r} is {list(tensor.shape)}; only the largest, {list(bounds)}, is bound")
            if tensor.data_ptr() % ALIGNMENT:
                raise ValueError(f"input {name!r} begins at no multiple of {ALIGNMENT} bytes; copy it")
        with self.device.make_current():
            instance = CudaInstance(self, {name: tensor.data_ptr() for name, tensor in inputs.items()})
        lasting, sizes = {**self.constants, **inputs}, {name: tuple(x.shape) for name, x in inputs.items()}

        def outputs(shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
            return {
                blob: lasting[name] if name in lasting else instance.view_of(name, shapes)
                for blob, name in self.plan.outputs
            }

        always = outputs({}) if all(slot.is_static for slot in self.plan.slots.values()) else None

        def call() -> dict[str, Tensor]:
            with self.device.make_current():
                shapes = instance.run(current_stream(self.device), sizes)
            return outputs(shapes) if always is None else dict(always)

        return call


def clone_contiguous(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)
