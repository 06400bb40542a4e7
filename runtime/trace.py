"""Every value that a compiled net makes on its way: the very run that answers, looked at step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .net import Net
from .runners import ObservableProgram
from .threads import torch_threads


def trace(net: Net, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copies of the inputs, of what each step makes, in order, and of the outputs under their blobs' names.

    Inputs are as for calling the net. ValueError if they do not fit. Of a net for a GPU there are the outputs alone: it
    runs as one graph, in memory of its own.
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
