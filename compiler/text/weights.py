"""The weights of a text: a safetensors file with tensors named by handle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

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


def dump(folder: Path, stages: Mapping[str, PlannedGraph], file: str = "weights.safetensors") -> list[Path]:
    """Write a text for each stage, and one file with the weights of all. Returns the paths of the texts, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights_by_handle(*(stage.graph for stage in stages.values()))
    save_file({h: t.contiguous() for h, t in tensors.items()}, folder / file)
    paths = []
    for name, (graph, plan) in stages.items():
        paths.append(folder / f"{name}.net")
        paths[-1].write_text(show(graph, plan, weights=file if tensors else None), encoding="utf-8")
    return paths
