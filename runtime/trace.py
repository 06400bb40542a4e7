"""Records every value that a compiled net computes, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .net import Net
from .runners import ObservableProgram
from .threads import torch_threads


def trace(net: Net, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copies of the inputs, of the results of each step, in order, and of the outputs by blob name.

    Inputs are as for calling the net. ValueError if they do not fit. For a net on a GPU, which runs as one CUDA graph,
    only the outputs are returned.
    """
    program, ready = net.prepare_run(net.inputs_by_name(inputs, {}))
    found = {name: tensor.clone() for name, tensor in ready.items()}
    with torch_threads(net.threads):
        if not isinstance(program, ObservableProgram):
            return found | {name: tensor.cpu() for name, tensor in program(ready).items()}
        instance = program.make_instance()
        instance.observe_steps(ready, lambda name, tensor: found.__setitem__(name, tensor.clone()))
    constants = {blob: program.weights[name] for blob, name in program.plan.outputs if name in program.weights}
    return found | {blob: found[name] for blob, name in program.plan.outputs if name in found} | constants
