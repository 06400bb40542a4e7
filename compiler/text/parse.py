"""The parser: from a text to a graph and its memory plan, kernels first, then the net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..ir import Graph
from ..op import REGISTRY
from ..plan import PlannedGraph
from .expand import Expander
from .syntax import read_tree
from .tree import SourceFile
from .weights import Tensors, load_tensors


def parse(text: str, file: str = "<text>", weights: Mapping[str, torch.Tensor] | None = None) -> Graph:
    """The net in `text` without its memory plan; see `parse_planned`."""
    return parse_planned(text, file, weights).graph


def parse_planned(text: str, file: str = "<text>", weights: Mapping[str, torch.Tensor] | None = None) -> PlannedGraph:
    """The net in `text`, and the memory plan that its placements give.

    `weights` holds the tensors that the text names by handle; by default they are read from the safetensors file that
    the text names, relative to the folder of `file`. Data is hashed again, and refused if it does not match its handle.
    CompileError, with the location, for a syntax error or a violated invariant.
    """
    tree = read_tree(text, file)
    if weights is None:
        weights = load_tensors(beside) if (beside := weights_beside(tree, file)) else {}
    return resolve(tree, text, file, weights)


def resolve(tree: SourceFile, text: str, file: str, tensors: Tensors) -> PlannedGraph:
    """The net of a text's syntax tree, with `tensors` by handle. Errors are those of `parse_planned`."""
    known: dict[str, Graph] = {}
    if not tree.blocks:
        name = tree.functions[0].name
        raise Expander(text, file, tensors, known, ()).make_error(name, "the text has functions, but no net")
    *kernels, net = tree.blocks
    for kernel in kernels:
        scope = Expander(text, file, tensors, known, tree.functions)
        if kernel.kind != "kernel" or kernel.name.text in known or kernel.name.text in REGISTRY:
            raise scope.make_error(
                kernel.name, f"{kernel.name.text}: a text has kernels of different names, then one net"
            )
        known[kernel.name.text] = scope.kernel(kernel)
    return Expander(text, file, tensors, known, tree.functions).build_graph(net)


def weights_beside(tree: SourceFile, file: str) -> Path | None:
    """The file of weights that a text names, relative to `file`."""
    return Path(file).parent / tree.weights if tree.weights else None
