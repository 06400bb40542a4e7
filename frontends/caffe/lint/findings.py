"""The lint rules, one function each: given a net's dataflow, it yields errors with a location and advice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ....compiler.errors import CompileError
from ....compiler.view import ancestors
from ...files.message import Message
from .. import layers as layers  # imported to register the layer types
from ..data_layers import DATA_LAYERS as DATA
from ..layer import LAYERS
from .backward import is_known, needs
from .dataflow import Dataflow, LayerNode
from .deprecated import find_deprecated
from .inplace import alias_conflict, other_reader_conflict, training_conflict

WITH_BIAS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
}


@dataclass(frozen=True, slots=True)
class BlobNumbers:
    """Where in a caffemodel: a layer's blob (None: a whole layer), how many numbers or channels, the first's index."""

    layer: str
    blob: int | None
    count: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The name of a rule, and an error that it found; `severity` is "error" or "warning".

    `numbers` says where in the caffemodel, for rules about that.
    """

    rule: str
    error: CompileError
    severity: str = "error"
    numbers: BlobNumbers | None = None


Found = Iterator[CompileError]


def findings(flow: Dataflow, outputs: Collection[str] = ()) -> list[Finding]:
    """The findings of all rules, sorted by location. `outputs` are the requested blobs, if any."""
    found = [Finding(rule.__name__, error) for rule in RULES for error in rule(flow)]
    if outputs:
        found += [Finding("dead_layer", error) for error in find_unneeded(flow, outputs)]
    return sorted(found, key=lambda f: (f.error.loc.line, f.error.loc.column) if f.error.loc else (0, 0))


def useless_bias(flow: Dataflow) -> Found:
    """Find layers with a bias that the following BatchNorm subtracts again."""
    for layer in flow.layers:
        param = WITH_BIAS.get(layer.type)
        if param is None or not layer.message[param]["bias_term"]:
            continue
        readers = layer.writes[0].readers if layer.writes else []
        if readers and all(r.type == "BatchNorm" for r in readers):
            sentence = f'{layer.label} has a bias, which layer "{readers[0].name}" (BatchNorm) subtracts again'
            advice = "Set bias_term: false before you train; in a trained net it is harmless, and cortado folds it."
            settings: Message = layer.message[param]
            at = settings if "bias_term" in settings else layer.message
            yield at.fault(sentence, "bias_term" if at is settings else "name", advice)


def trainable_statistics(flow: Dataflow) -> Found:
    """Find BatchNorm layers whose statistics (mean, variance, factor) have a learning rate other than 0."""
    for layer in flow.layers:
        if layer.type != "BatchNorm":
            continue
        wrong = [i for i, spec in enumerate(layer.message["param"]) if spec["lr_mult"] != 0]
        if wrong:
            spec = layer.message["param"][wrong[0]]
            sentence = f"{layer.label} lets the solver train its statistics (blob {', '.join(map(str, wrong))})"
            advice = "Set lr_mult: 0 and decay_mult: 0 for each of its three blobs, or leave the params out."
            at = "lr_mult" if "lr_mult" in spec else None
            yield spec.fault(f"{sentence}: their lr_mult is not 0", at, advice)


def dead_layer(flow: Dataflow) -> Found:
    """Find layers whose results are not used, and layers without effect."""
    unknown = [l for l in flow.layers if l.type not in LAYERS or (not l.writes and l.type != "Silence")]
    measures = [l for l in flow.layers if l.is_measure]
    reached = with_producers(flow, [*unknown, *measures]) if measures else set[LayerNode]()
    for layer in flow.layers:
        readers = [r for w in layer.writes for r in w.readers]
        if layer.type in ("Input", *DATA) or layer.is_measure:
            continue
        if readers and all(r.type == "Silence" for r in readers):
            sentence = f"{layer.label} makes only blobs that Silence reads"
            yield layer.message.fault(sentence, "name", "Take both layers out.")
        elif measures and layer.writes and layer not in reached:
            sentence = f"{layer.label} leads to no loss and to no other measure"
            yield layer.message.fault(sentence, "name", "Take it out, or read its result.")
        elif (reason := no_op_reason(layer)) is not None:
            yield layer.message.fault(f"{layer.label} does nothing: {reason}", "name", "Take it out.")


def with_producers(flow: Dataflow, ends: Collection[LayerNode]) -> set[LayerNode]:
    """The layers in `ends` and all layers that they depend on."""
    return ancestors(((layer, r) for layer in flow.layers for w in layer.writes for r in w.readers), ends)


def no_op_reason(layer: LayerNode) -> str | None:
    """Why the layer returns its input unchanged; None if it does not."""
    message = layer.message
    match layer.type:
        case "Power":
            p = message["power_param"]
            return "power 1, scale 1, shift 0" if (p["power"], p["scale"], p["shift"]) == (1, 1, 0) else None
        case "Concat" | "Eltwise" if len(layer.reads) == 1:
            coefficients = message["eltwise_param"]["coeff"]
            return "it has one bottom" if all(c == 1 for c in coefficients) else None
        case "Slice" | "Split" if len(layer.writes) == 1:
            return "it has one top"
        case "Dropout":
            return "dropout_ratio 0" if message["dropout_param"]["dropout_ratio"] == 0 else None
        case "ReLU":
            before = layer.reads[0].producer if layer.reads else None
            plain = before is not None and before.type == "ReLU" and not before.message["relu_param"]["negative_slope"]
            return f'layer "{before.name}" did it already' if plain and before is not None else None
    return None


def find_unneeded(flow: Dataflow, outputs: Collection[str]) -> Found:
    """Find layers that none of the requested blobs depends on."""
    producers = [w.producer for name in outputs if (w := flow.last.get(name)) is not None and w.producer is not None]
    needed = with_producers(flow, producers)
    for layer in flow.layers:
        if layer not in needed and layer.type != "Input":
            sentence = f"{layer.label} is not needed for {', '.join(outputs)}"
            yield layer.message.fault(sentence, "name", "Take it out of the net that you deploy.")


def unsafe_in_place(flow: Dataflow) -> Found:
    """Find in-place layers that give wrong results in Caffe's Forward or Backward."""
    for layer in flow.layers:
        if not layer.is_in_place or not is_known(layer.message):
            continue
        bottom = layer.reads[0]
        advice = "Give the top another name, and have the layers that follow read that."
        reason = needs(layer.message).forward or other_reader_conflict(layer, bottom)
        if reason is not None:
            yield layer.message.fault(f"{layer.label} is in place: {reason}", "top", advice)
        elif (reason := training_conflict(layer)) is not None and not alias_conflict(layer, bottom):
            sentence = f"{layer.label} is in place, and cannot be trained so: {reason}"
            yield layer.message.fault(sentence, "top", f"{advice} For inference only it is fine.")


def changed_alias(flow: Dataflow) -> Found:
    """Find in-place layers that also change another blob, which shares the storage."""
    for layer in flow.layers:
        if layer.is_in_place and (reason := alias_conflict(layer, layer.reads[0])) is not None:
            sentence = f"{layer.label} is in place and changes another blob too: {reason}"
            advice = "cortado computes what Caffe does. If that is not intended, give the top another name."
            yield layer.message.fault(sentence, "top", advice)


def training_only(flow: Dataflow) -> Found:
    """Find layers that a deployed net does not need: Dropout, losses, accuracies."""
    has_data_layer = any(layer.writes and not layer.reads and layer.type != "Input" for layer in flow.layers)
    if has_data_layer or flow.phase == "TRAIN":
        return  # a net for training needs these layers
    for layer in flow.layers:
        if layer.type == "Dropout" and no_op_reason(layer) is None:
            sentence = f"{layer.label} has an effect in training only"
            yield layer.message.fault(
                sentence, "type", "Take it out of the net that you deploy; the result is the same."
            )
        elif layer.is_measure:
            sentence = f"{layer.label} is for training and measuring, and needs labels"
            yield layer.message.fault(sentence, "type", "A net that you deploy ends before it, with a Softmax perhaps.")


def deprecated_field(flow: Dataflow) -> Found:
    """Find fields and formats that Caffe's schema marks as deprecated."""
    yield from find_deprecated(flow)


RULES: tuple[Callable[[Dataflow], Found], ...] = (
    useless_bias,
    trainable_statistics,
    dead_layer,
    unsafe_in_place,
    changed_alias,
    training_only,
    deprecated_field,
)
