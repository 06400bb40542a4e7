"""Reads what is about to be written, and proves that it is the net that was meant: the same graph, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ...compilation import Options
from ...compiler.errors import CompileError
from ...compiler.float32 import with_float32_attributes
from ...compiler.ir import Constant, Graph, Node, Value
from ...compiler.op import Op
from ...frontends.caffe.dialects import Dialects, parse_dialects
from ...frontends.caffe.net import build_graph
from ...frontends.caffe.weights import FileWeights, NoWeights
from ...frontends.files import prototxt
from ...frontends.files.caffemodel import Blob, LayerBlobs, Weights
from ...passes import Context, run
from ...passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from ...passes.remove_dropout import remove_dropout
from ...passes.share_weights import share_weights
from .current_format import CaffeFile


class AnotherNet(Exception):
    """What is written reads as another net. The argument is what differs, in words."""


def prove(
    text: str,
    made: CaffeFile,
    wanted: Graph,
    options: Options,
    dialects: Dialects,
    *,
    outputs: Sequence[str] = (),
    folded: bool = False,
) -> None:
    """Read the text with the blobs of the file; `folded`: up to Dropout, and to what is computed twice.

    `outputs` are those of the net if some of them are read by layers: by default they are all that no layer reads.
    AnotherNet if it is not the net that is wanted; CompileError if it only is with the dialects that are asked for.
    """
    asked = parse_dialects(options.dialects)
    message = prototxt.parse(text, "the prototxt that is written")
    source = stored_weights(made)

    def read(dialects: Dialects) -> Graph:
        found = build_graph(message, source, outputs=outputs, lenient=options.lenient, dialects=dialects)
        return settled(found) if folded else found

    wanted = settled(wanted) if folded else wanted

    if difference := find_difference(wanted, read(asked)):
        raise AnotherNet(difference)
    if asked.for_net or asked.for_types:
        require_same_dialects(wanted, read, dialects)


def settled(graph: Graph) -> Graph:
    """The graph without Dropout, and with equal nodes merged.

    A layer that stays may be Dropout. Where a blob is another one's storage, the reader may find that it computes the
    same as an earlier one.
    """
    return run(graph, Context(), (remove_dropout, share_weights, eliminate_common_subexpressions)).graph


def require_same_dialects(wanted: Graph, read: Callable[[Dialects], Graph], dialects: Dialects) -> None:
    """CompileError if the file, read without the dialects that the user asks for, is taken for another net."""
    try:
        difference = find_difference(wanted, read(Dialects()))
    except CompileError:  # it asks for a dialect, as the original does
        return
    if difference:
        chosen = "; ".join(map(str, dialects.chosen))
        sentence = f"what is written would be read as other layers where no dialect is asked for: {chosen}"
        raise CompileError(sentence, advice="Such layers cannot be written in the current format.")


def stored_weights(made: CaffeFile) -> FileWeights | NoWeights:
    """The blobs of the layers, as if read from a file."""
    layers = tuple(
        LayerBlobs(
            layer.message["name"],
            layer.message["type"],
            tuple(Blob(tuple(b.shape), False, (b.detach().numpy().reshape(-1),)) for b in layer.blobs),
            (),
            (),
        )
        for layer in made.layers
    )
    if not any(layer.blobs for layer in layers):
        return NoWeights()
    return FileWeights(Weights(made.name, layers), "the caffemodel that is written")


def find_difference(a: Graph, b: Graph) -> str:
    """What differs between two graphs, names of inner values aside, in words; "" if they compute the same bits."""
    pairs = [*zip(a.inputs, b.inputs, strict=False)]
    if wrong := [x.name for x, y in pairs if (x.name, x.type) != (y.name, y.type)]:
        return f"the input {wrong[0]}"
    same: dict[Value, Value] = dict(pairs)
    for node, other in zip(a.nodes, b.nodes, strict=False):
        is_equal = canonical(node) == canonical(other) and len(node.inputs) == len(other.inputs)
        if not is_equal or not all(is_same(x, y, same) for x, y in zip(node.inputs, other.inputs, strict=True)):
            return f"{node.name} = {node.op.name}(...)"
        same.update(zip(node.results, other.results, strict=True))
    if len(a.inputs) != len(b.inputs) or len(a.nodes) != len(b.nodes):
        return f"{len(b.inputs)} inputs and {len(b.nodes)} operators, not {len(a.inputs)} and {len(a.nodes)}"
    returned, wanted = dict(b.returns), dict(a.returns)
    for name in dict.fromkeys([*wanted, *returned]):
        if name not in wanted or name not in returned or not is_same(wanted[name], returned[name], same):
            return f"the output {name}"
    return ""


def canonical(node: Node) -> Op:
    """The operator with float32 attributes, as Caffe has them, and with axes counted from the front."""
    op, rank = with_float32_attributes(node.op), node.inputs[0].type.rank if node.inputs else 0
    axes = {name: op.all_attributes().get(name, 0) for name in ("axis", "end_axis")}
    negative = {name: axis + rank for name, axis in axes.items() if axis < 0 and op.name != "reshape"}
    return replace(op, **negative) if negative else op  # type: ignore[type-var]


def is_same(x: Value, y: Value, same: dict[Value, Value]) -> bool:
    """True if y stands for x: the values of corresponding nodes, or constants of equal bits."""
    if not isinstance(x, Constant):
        return same.get(x) is y
    if same.get(x) is y:
        return True
    if not isinstance(y, Constant) or x.type != y.type or x.is_bound != y.is_bound:
        return False
    if x.is_bound and x.data.data_ptr() != y.data.data_ptr():
        bits = [v.data.contiguous().view(-1).view(torch.uint8) for v in (x, y)]
        if not torch.equal(*bits):
            return False
    same[x] = y
    return True
