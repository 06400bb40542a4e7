"""Other kernels for a step of a compiled net than that of its plan: lowered, compiled, launched over its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cortado.compiler.ir import Constant, Node
from cortado.compiler.slots import SlotsAndWeights
from cortado.compiler.targets.cuda.aot import MachineCode, compile_machine_code
from cortado.compiler.targets.cuda.hardware import NEWEST_ARCHITECTURE, OLDEST_ARCHITECTURE
from cortado.compiler.targets.cuda.lowering import CompiledKernels, LoweredNode, lower_node, make_step
from cortado.runtime.cuda.device import Buffer
from cortado.runtime.cuda.launch import Launch, make_launch, working_memory
from cortado.runtime.cuda.modules import load_kernel
from cortado.runtime.plan import Step
from cortado.runtime.primitive_table import PRIMITIVE_TABLE
from cortado.runtime.resources import Resources

from .steps import GpuStepRunner


@dataclass(frozen=True)
class StepVariant:
    """A step with another kernel, its machine code, and the weights that it reads, by name."""

    step: Step
    binaries: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]

    def prepare(self, runner: GpuStepRunner, uploaded: dict[str, Buffer] | None = None) -> Launch:
        """The launch over the values of an instance. `uploaded`: weights that are on the GPU already, by name."""
        there = {} if uploaded is None else uploaded
        device, instance = runner.instance.device, runner.instance
        attributes = PRIMITIVE_TABLE["launch"].complete(self.step.payload)
        kernel, here = load_kernel(device, attributes, Resources({}, self.binaries))

        def address(name: str) -> int:
            if name in self.weights:
                if name not in there:
                    there[name] = device.upload(self.weights[name], f"weight {name!r}")
                return there[name].address
            return instance.device_values[name].address

        addresses = {"operand": list(map(address, self.step.operands)), "result": list(map(address, self.step.results))}
        memory = [(kind, device.allocate(size, kind)) for kind, size in working_memory([here]).items() if size]
        for kind, buffer in memory:
            device.driver.cuMemsetD8Async(buffer.address, 0, buffer.nbytes, runner.stream)
            addresses[kind] = [buffer.address]
        KEPT.append((there, memory))
        return make_launch(device.driver, kernel, here, addresses)


KEPT: list[object] = []
"""Memory that launches use, kept until the process of the stage ends, or `KEPT.clear()`."""


def make_variant(node: Node, lowered: LoweredNode, code: MachineCode, made: CompiledKernels) -> StepVariant:
    """The step of a node with the first of its kernels alone, for the newest architecture.

    `made` holds the weights that other variants of the node have packed.
    """
    kernel = lowered.kernels[0]
    only = replace(kernel, spec=replace(kernel.spec, architectures=(NEWEST_ARCHITECTURE,)))
    step = make_step(replace(lowered, kernels=(only,)), {(kernel.name, NEWEST_ARCHITECTURE): code}, made)
    return StepVariant(step, {f"{kernel.name}.{NEWEST_ARCHITECTURE}": as_bytes(code)}, weights_of(node, made))


def plain_variant(node: Node, places: SlotsAndWeights) -> StepVariant | None:
    """The node by the kernel that older GPUs run, without TMA; None if it is the one of the plan."""
    lowered = lower_node(node, places)
    if not isinstance(lowered, LoweredNode) or len(lowered.kernels) < 2:
        return None
    first, last = lowered.kernels[0], lowered.kernels[-1]
    texts = {first.name: first.text, last.name: last.text}
    code = compile_machine_code(texts, [(name, NEWEST_ARCHITECTURE) for name in texts])
    plain, made = code[last.name, NEWEST_ARCHITECTURE], CompiledKernels()
    step = make_step(lowered, {**code, (last.name, OLDEST_ARCHITECTURE): plain}, made)
    variant = step.payload["variants"].get(OLDEST_ARCHITECTURE, {})
    step = replace(step, payload={**step.payload, **variant, "variants": {}})
    return StepVariant(step, {f"{last.name}.{NEWEST_ARCHITECTURE}": as_bytes(plain)}, weights_of(node, made))


def weights_of(node: Node, made: CompiledKernels) -> dict[str, Tensor]:
    """The weights that a step may read, by name: the node's own, and packed ones."""
    weights = {v.name: v.data for v in node.inputs if isinstance(v, Constant)}
    return weights | {name: made.tensors[weight.handle] for name, weight in made.weights.items()}


def as_bytes(code: MachineCode) -> Tensor:
    return torch.frombuffer(bytearray(code.cubin), dtype=torch.uint8)
