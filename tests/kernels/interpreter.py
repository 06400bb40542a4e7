"""Runs a plan for a GPU in Triton's interpreter, kernel by kernel, from its steps and the sources of its kernels.

It uses only the steps' `arguments`, as the launcher of machine code does. It needs a process with TRITON_INTERPRET=1.
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cortado.runtime.arena import view
from cortado.runtime.artifact import DTYPES, Plan
from cortado.runtime.cuda.launch import WORKING_MEMORY

GUARD = 4096  # bytes on either side of the arena, which no kernel may write
PATTERN = 0xA5


def run(
    plan: Plan,
    files: Mapping[str, str],
    weights: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    architecture: str = "",
) -> dict[str, Tensor]:
    """The outputs by blob name. Memory is NaN at first. AssertionError if a kernel writes outside of the arena."""
    memory = torch.full((plan.arena + 2 * GUARD,), 0xFF, dtype=torch.uint8)
    memory[:GUARD] = memory[GUARD + plan.arena :] = PATTERN
    arena = memory[GUARD : GUARD + plan.arena]
    values = {name: weights[w.handle].reshape(w.shape).clone() for name, w in plan.weights.items()}  # files may be odd
    values |= inputs
    values |= {name: view(arena, slot) for name, slot in plan.slots.items() if slot.at is not None}
    kernels = {name: load(name, text) for name, text in files.items()}
    for step in plan.steps:
        if step.kind == "view":
            continue
        assert step.kind == "launch", f"{step.label} runs on the host: {step.kind}"
        places = {"operand": [values[n] for n in step.operands], "result": [values[n] for n in step.results]}
        attributes = {**step.payload, **step.payload["variants"].get(architecture, {})}
        launch(kernels[attributes["kernel"]], attributes, places)
        assert (memory[:GUARD] == PATTERN).all() and (memory[GUARD + plan.arena :] == PATTERN).all(), step.label
    return {blob: values[name].clone() for blob, name in plan.outputs}


def load(name: str, text: str) -> Any:
    """The module of a kernel's source."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(text, "utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def launch(module: Any, attributes: Mapping[str, Any], places: dict[str, list[Tensor]]) -> None:
    """Launch a kernel once. AssertionError unless the arguments match the source's signature."""
    arguments = iter(attributes["arguments"])
    given = {name: argument_value(name, form, module, arguments, places) for name, form in module.SIGNATURE.items()}
    assert next(arguments, None) is None, "the plan gives more arguments than the kernel takes"
    getattr(module, module.__name__)[tuple(attributes["grid"])](**given)
    assert not any(counters.any() for counters in places.get("counters", ())), "a counter is not 0 after the launch"


def argument_value(
    path: str, form: Any, module: Any, arguments: Iterator[Mapping[str, Any]], places: dict[str, list[Tensor]]
) -> Any:
    """What a parameter is given: a constant of the file's, or the plan's next argument."""
    if isinstance(form, tuple):
        return tuple(argument_value(f"{path}.{i}", member, module, arguments, places) for i, member in enumerate(form))
    if form == "constexpr":
        return module.CONSTANTS[path]
    ((kind, content),) = next(arguments).items()
    if kind in places:
        assert form == f"*{triton_name(places[kind][content].dtype)}", (path, form, places[kind][content].dtype)
        check_aligned(path, places[kind][content].data_ptr(), module)
        return pointer(places[kind][content])
    if kind in WORKING_MEMORY:
        return places.setdefault(kind, make_working_memory(kind, content))[0]
    if kind == "descriptor":
        return descriptor(form, content, places)
    assert form == kind, (path, form, kind)
    check_aligned(path, content, module)
    return content


def make_working_memory(kind: str, content: int) -> list[Tensor]:
    """NaN as scratch memory, 0 as counters."""
    return [torch.zeros(content, dtype=torch.int32) if kind == "counters" else torch.full((content // 4,), torch.nan)]


def check_aligned(path: str, number: int, module: Any) -> None:
    """What the kernel is compiled to take for granted has to hold."""
    assert path not in module.ALIGNED or number % 16 == 0, f"{path} is {number}, which is no multiple of 16"


def triton_name(dtype: torch.dtype) -> str:
    return {"f32": "fp32", "f16": "fp16"}.get(name := next(n for n, d in DTYPES.items() if d == dtype), name)


def pointer(tensor: Tensor) -> Tensor:
    """The address of the first element: a row over all that follows in memory."""
    return tensor.as_strided((1,), (1,))


def descriptor(form: str, content: Mapping[str, Any], places: Mapping[str, list[Tensor]]) -> Any:
    """A host descriptor, as Triton's interpreter takes it."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    ((kind, index),) = content["of"].items()
    base = places[kind][index]
    size = base.dtype.itemsize
    assert all(s % 16 == 0 for s in content["strides"]) and base.data_ptr() % 16 == 0, "the hardware copies by 16 bytes"
    box = [int(n) for n in re.findall(r"\d+", form.split("[", 1)[1])]
    assert all(1 <= n <= 256 for n in content["box"]), content["box"]
    return TensorDescriptor(pointer(base), content["shape"], [*(s // size for s in content["strides"]), 1], box)
