"""The parser: from a text to a graph and its memory plan, kernels first, then the net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..ir import Graph
from ..op import REGISTRY
from ..plan import PlannedGraph
from .evaluate import Evaluator
from .expand import Expander
from .syntax import read_tree
from .tree import Function, SourceFile
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
    evaluator = Evaluator(text, file)
    if not tree.blocks:
        raise evaluator.make_error(tree.functions[0].name, "the text has functions, but no net")
    *kernels, net = tree.blocks
    functions = functions_by_name(tree, {kernel.name.text for kernel in kernels}, evaluator)
    for kernel in kernels:
        if kernel.kind != "kernel" or kernel.name.text in known or kernel.name.text in REGISTRY:
            sentence = f"{kernel.name.text}: a text has kernels of different names, then one net"
            raise evaluator.make_error(kernel.name, sentence)
        known[kernel.name.text] = Expander(text, file, tensors, known, functions).kernel(kernel)
    return Expander(text, file, tensors, known, functions).build_graph(net)


def functions_by_name(tree: SourceFile, kernels: set[str], evaluator: Evaluator) -> dict[str, Function]:
    """The functions of a text. CompileError if one has the name of another, of a kernel or of an operator."""
    found: dict[str, Function] = {}
    for function in tree.functions:
        name = function.name
        if name.text in found or name.text in kernels or name.text in REGISTRY:
            raise evaluator.make_error(name, f"{name.text} is defined already", "Give the function another name.")
        found[name.text] = function
    return found


def weights_beside(tree: SourceFile, file: str) -> Path | None:
    """The file of weights that a text names, relative to `file`."""
    return Path(file).parent / tree.weights if tree.weights else None
