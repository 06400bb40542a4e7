"""Imports a net layer by layer: in-place writes, shared parameters, outputs; and collects what is wrong.

The tops of a layer that fails are marked as broken, and layers that read them are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import torch

from ...compiler.errors import CompileError, Loc, raise_all, sort_by_location
from ...compiler.ir import Constant, Graph, Node, Value
from ...compiler.limits import MAX_ERRORS
from ...compiler.op import Op
from ...compiler.ops.shape import Reshape
from ...compiler.rewrite import live_nodes
from ...compiler.suggestion import did_you_mean
from ...compiler.verify import verify
from ..files.message import Message
from .blobs import BlobStorage, TrackedBlob
from .data_layers import DATA_LAYERS
from .dialects import Dialects, choose_dialect
from .fillers import Filler
from .inputs import DeclaredInput
from .layer import LAYERS, Layer
from .layer_checks import check_counts, check_params, check_tops
from .naming import name_values
from .parameters import Parameters
from .unknown_type import unknown_type_error, unknown_v1_types
from .unused_fields import UnusedField, find_unknown, find_unread
from .weights import Shape, WeightSource

Warn = Callable[[str], None]


class Importer:
    """Builds the graph layer by layer, and collects errors."""

    def __init__(
        self,
        message: Message,
        written: Message,
        weights: WeightSource,
        filler: Filler,
        lenient: bool,
        dialects: Dialects,
        warn: Warn,
    ) -> None:
        self.message, self.lenient, self.dialects, self.warn = message, lenient, dialects, warn
        self.written = written  # before it was upgraded
        self.unknown_v1_types = unknown_v1_types(written)
        self.parameters = Parameters(weights, filler)
        self.errors: list[CompileError] = []
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.blobs: dict[str, TrackedBlob] = {}
        self.versions: list[tuple[str, Value]] = []  # blob name and value of each write, in order
        self.made: list[tuple[Layer, tuple[Value, ...]]] = []  # each layer and the values of its tops
        self.broken: set[str] = set()
        self.doubtful: set[str] = set()  # made with settings that the weights do not fit, so of a doubtful shape
        self.spoiled: set[Message] = set()  # the net or layers, which have unknown fields
        self.types = frozenset[str]()  # of all layers of the net
        self.makers: dict[str, Layer] = {}  # by blob: the layer that makes it, not those that write it in place
        self.has_lost_tops = False  # a faulty layer may make a blob that it does not name

    def report(self, findings: Iterable[UnusedField]) -> None:
        """Report unused fields: as warnings if they are harmless or the caller is lenient, else as errors."""
        for found in findings:
            self.stop_at_many()
            if found.is_harmless or self.lenient:
                self.warn(f"{found}{'' if found.is_harmless else ': ignored'}")
            else:
                self.errors.append(found.error)

    def stop_at_many(self) -> None:
        """Raise the errors so far if they are as many as are reported at once."""
        if len(self.errors) >= MAX_ERRORS:
            raise_all(sort_by_location(self.errors[:MAX_ERRORS]))

    def report_unknown(self, kept: Collection[Message]) -> None:
        """Report fields that Caffe lacks; what has one that counts is `spoiled`: what is missing there may be in it.

        Of a layer that is left out or whose type is unknown, the rules count.
        """
        known = {l for l in kept if l["type"] in ("", *LAYERS, *DATA_LAYERS, "Input")}
        own = [p for field in self.message.written if field != "layer" for p in self.message.submessages(field)]
        parts = {self.message: [self.message, *(inner for part in own for inner in part.walk())]}
        for layer in self.message["layer"]:
            parts[layer] = [*layer.walk()] if layer in known else [*layer["include"], *layer["exclude"]]
        for part, messages in parts.items():
            count = len(self.errors)
            self.report(find_unknown(messages))
            if len(self.errors) > count:
                self.spoiled.add(part)
                self.broken.update(part["top"] if part is not self.message and part not in kept else ())
        self.has_lost_tops = any(part.unknown for part in self.spoiled)

    def add_input(self, given: DeclaredInput) -> None:
        """Add an input to the graph, and its blob."""
        value = Value(given.name, given.type)
        self.inputs.append(value)
        self.blobs[given.name] = TrackedBlob(given.name, BlobStorage(value), value, given.layer)

    def add_layer(self, message: Message) -> None:
        """Import one layer; if it fails, record the error and mark its tops as broken.

        What follows from an error is no error: a layer that reads a broken blob is passed over, and so is one that
        reads a blob which a faulty layer might have made. Of a layer that reads a doubtful blob, what can depend on
        its shape is not reported.
        """
        self.stop_at_many()
        try:
            if message not in self.spoiled:
                self.check_type(message)
            is_lost = self.has_lost_tops and any(b not in self.blobs for b in message["bottom"])
            if message in self.spoiled or is_lost or any(b in self.broken for b in message["bottom"]):
                self.broken.update(message["top"])
                return
            bottoms = [self.find_bottom(message, i) for i in range(len(message["bottom"]))]
        except CompileError as e:
            self.errors.append(e)
            self.broken.update(message["top"])
            self.has_lost_tops |= not message["top"]
            return
        layer, count = Layer(message, [self.read(b, message) for b in bottoms], self), len(self.errors)
        is_doubtful = any(b in self.doubtful for b in message["bottom"])
        try:
            choose_dialect(layer, self.dialects)
            check_counts(layer)
            check_tops(layer, self.blobs)
            made = layer.call()
            check_params(layer)
            self.parameters.check_count(layer)
            self.report(find_unread(message, layer.label, layer.layer_type.param))
        except CompileError as e:
            self.parameters.forget_errors(layer)
            self.has_lost_tops |= layer.may_lack_tops
            self.broken.update(layer.tops)
            if not is_doubtful and e not in self.errors:
                self.errors.append(e)
            return
        if is_doubtful:
            self.parameters.faulty.pop(layer, None)
        if is_doubtful or layer in self.parameters.faulty:
            self.doubtful.update(layer.tops)
        if len(self.errors) > count:
            self.broken.update(layer.tops)
        else:
            self.write(layer, bottoms, made if isinstance(made, tuple) else (made,))

    def check_type(self, message: Message) -> None:
        """Raise CompileError if the layer's type is unknown."""
        if message["type"] not in LAYERS or message.loc_of("type") in self.unknown_v1_types:
            raise unknown_type_error(message, self.written)

    def find_bottom(self, message: Message, i: int) -> TrackedBlob:
        """The blob of bottom `i`. CompileError if no earlier layer makes it."""
        name = message["bottom"][i]
        if name not in self.blobs:
            self.broken.add(name)  # reported once
            sentence = f'layer "{message["name"]}" reads the blob "{name}", which no layer before it makes'
            producer = next((m for m in self.message["layer"] if m is not message and name in m["top"]), None)
            if producer is not None:
                sentence += f'; layer "{producer["name"]}" on line {producer.loc.line} does'
                advice = "Put it before this one, or look at its rules: it may be there in another phase only."
            else:
                sentence += did_you_mean(name, self.blobs)
                advice = f"Here are {', '.join(list(self.blobs)[-5:])}." if self.blobs else "The net has no input."
            raise message.fault(sentence, "bottom", advice, i)
        return self.blobs[name]

    def read(self, blob: TrackedBlob, message: Message) -> Value:
        """The blob's current value in the blob's shape; emits a reshape if the storage was rewritten in another."""
        blob.is_read = True
        if blob.is_current:
            return blob.made
        if blob.dims not in blob.storage.shapes:  # an alias of this blob was written in place
            reshape = Reshape(shape=tuple(d if isinstance(d, int) else 0 for d in blob.dims))
            (blob.storage.shapes[blob.dims],) = self.emit(reshape, (blob.storage.value,), message.loc_of("name"))
        return blob.storage.shapes[blob.dims]

    def write(self, layer: Layer, bottoms: Sequence[TrackedBlob], made: Sequence[Value]) -> None:
        """Update the blobs of the layer's tops to the values in `made`, in place or as new blobs."""
        label = f'layer "{layer.name}"'
        self.made.append((layer, tuple(made)))
        for blob in bottoms:
            if blob.name not in layer.tops:
                blob.readers.append(label)
        for top, value in zip(layer.tops, made, strict=True):
            self.makers.setdefault(top, layer)
            if top in self.blobs:
                blob = self.blobs[top]
                if len(blob.storage.names) > 1 and not layer.layer_type.shares:
                    others = ", ".join(n for n in blob.storage.names if n != top)
                    self.warn(f'{label} writes "{top}" in place, and so changes {others} too, as in Caffe')
                blob.write(value, label)
            else:
                memory = bottoms[0].storage if layer.layer_type.shares or value in layer.bottoms else BlobStorage(value)
                memory.shapes.setdefault(value.type.dims, value)
                shared = [bottoms[0].name, top] if bottoms and memory is bottoms[0].storage else [top]
                memory.names.extend(n for n in shared if n not in memory.names)
                self.blobs[top] = TrackedBlob(top, memory, value, label)
            self.versions.append((top, value))
        for top, weight in zip(layer.tops, layer.message["loss_weight"], strict=False):
            if weight:  # Caffe reads the top for its total loss
                self.blobs[top].readers.append("the total loss, by its loss_weight,")

    def emit(self, op: Op, inputs: Sequence[Value], loc: Loc) -> tuple[Value, ...]:
        """Append a node and return its results. ValueError if the operator does not accept these operands."""
        types = op.infer_types([v.type for v in inputs])
        results = tuple(Value(f"%{len(self.nodes)}.{i}", type) for i, type in enumerate(types))
        self.nodes.append(Node(op, tuple(inputs), results, loc))
        return results

    def describe(self, values: Sequence[Value]) -> str:
        """The names, types and producers of operands in parentheses, as a suffix for error messages."""
        known = {v: f'"{name}"' for name, b in self.blobs.items() for v in b.values}
        made = {v: f", made by {b.layer}" for b in self.blobs.values() for v in b.values}
        operands = [f"{known.get(v, v.name)} {v.type}{made.get(v, '')}" for v in dict.fromkeys(values)]
        return f" ({'; '.join(s for s in operands if not s.startswith('%'))})"

    def weight(self, layer: Layer, index: int, shape: Shape, role: str) -> Constant:
        return self.parameters.weight(layer, index, shape, role)

    def constant(self, name: str, data: torch.Tensor | None, shape: Shape) -> Constant:
        return self.parameters.constant(name, data, shape)

    def count(self, layer: Layer) -> int | None:
        return self.parameters.weights.count(layer.name)

    def outputs(self, wanted: Sequence[str]) -> list[tuple[str, Value]]:
        """Names and values of the blobs in `wanted`, or else of those that no layer reads. Records missing ones."""
        missing = [name for name in wanted if name not in self.blobs and name not in self.broken]
        for name in missing:
            sentence = f'there is no blob "{name}" to return{did_you_mean(name, self.blobs)}'
            self.errors.append(self.message.fault(sentence, None, f"The blobs are {', '.join(self.blobs)}."))
        unread = [n for n, b in self.blobs.items() if not b.is_read]
        names = [n for n in wanted if n in self.blobs] if wanted else unread
        return [(n, self.read(self.blobs[n], self.message)) for n in names]

    def finish(self, outputs: list[tuple[str, Value]]) -> Graph:
        """The verified graph, without dead nodes, its values named after blobs."""
        nodes = live_nodes(self.nodes, [v for _, v in outputs])
        name = self.message["name"] or "net"
        return verify(name_values(Graph(name, tuple(self.inputs), nodes, tuple(outputs)), self.versions))
