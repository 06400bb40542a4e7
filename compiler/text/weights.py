"""The weights of a text: a safetensors file with tensors named by handle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ...runtime.artifact import write_tensors
from ...runtime.output import check_output_files, make_folder, write_file
from ..errors import CompileError
from ..ir import Graph
from ..ops.fused import Fused
from ..plan import PlannedGraph
from .show import MAX_INLINE_NUMBERS, show

Tensors = Mapping[str, torch.Tensor]


def load_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file, memory-mapped. CompileError if it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as e:
        advice = "Dumps name their weights relative to themselves: keep the folder together, or use --weights FILE."
        raise CompileError(f"{path}: cannot be read as safetensors ({e})", advice=advice) from None


def weights_by_handle(*graphs: Graph) -> dict[str, torch.Tensor]:
    """The tensors of all weights that the texts of these graphs name by handle."""
    found = {}
    for graph in graphs:
        assert not any(n.op.body.constants for n in graph.nodes if isinstance(n.op, Fused)), "kernels take weights"
        found.update({c.handle: c.data for c in graph.constants if c.is_bound and c.type.numel > MAX_INLINE_NUMBERS})
    return found


def dump(
    folder: Path,
    stages: Mapping[str, PlannedGraph],
    file: str = "weights.safetensors",
    inputs: Iterable[str | Path] = (),
) -> list[Path]:
    """Write a text for each stage, and one file with the weights of all. Returns the paths of the texts, in order.

    The folder is created, but not its parent. Errors are those of `write_texts`.
    """
    texts = {folder / f"{name}.net": planned for name, planned in stages.items()}
    make_folder(folder)
    write_texts(texts, folder / file, inputs)
    return list(texts)


def write_texts(texts: Mapping[Path, PlannedGraph], weights: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Write the file with the weights of all, then the texts by their paths, in the same folder.

    OutputError, before anything is written, if a file cannot be written, or would replace an input or another one.
    """
    check_output_files((weights, *texts), inputs := tuple(inputs))
    tensors = weights_by_handle(*(stage.graph for stage in texts.values()))
    if tensors:
        write_tensors(weights, tensors, {}, inputs)
    for path, (graph, plan) in texts.items():
        write_file(path, show(graph, plan, weights=weights.name if tensors else None), inputs)
