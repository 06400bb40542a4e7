"""A Caffe net whose learnt blobs, input shapes and wanted blobs may change between runs.

    net = LiveNet.read(Path("deploy.prototxt"), Path("net.caffemodel"))
    fc7, prob = net.run({"data": pictures}, ["fc7", "prob"])

A compiled net is fixed in all three. This one compiles a plan for each combination that runs, and keeps it. It is what
the stand-ins for other interfaces are made of: they say what their caller may do, and it does the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from ..compiler.errors import CompileError
from ..compiler.ir import Constant, Graph
from ..compiler.suggestion import did_you_mean
from ..compiler.types import AtMost, Dim
from ..frontends.caffe.blob_graph import BlobGraph, LearntBlob, build_blob_graph
from ..frontends.caffe.dialects import parse_dialects
from ..frontends.caffe.rules import State, select_layers
from ..frontends.caffe.upgrade import upgrade_net
from ..frontends.caffe.weights import read_weights
from ..frontends.files import caffemodel, prototxt
from ..frontends.files.fork_schema import layout_for, schema_for
from ..frontends.files.message import Message
from ..plugins import load_plugins
from ..runtime.primitives import PackedWeights
from .live_layer import Key, find_inputs, find_value, shared_owners, unread_blobs
from .live_layer import LiveLayer as LiveLayer
from .live_plans import Dims, LayerTimes, Shapes, WantedNet, select_values, share_constants
from .live_weights import Array, LiveWeights

MAX_PLANS = 16  # nets that are kept, one for each set of wanted blobs
MAX_GRAPHS = 8  # graphs that are kept, one for each set of input shapes


class LiveNet:
    """A Caffe net whose learnt blobs, input shapes and wanted blobs may change between runs.

    A blob is asked for by a key: its name, for what it holds when all layers have run; or (layer, top index), for what
    that layer makes, even if another layer then overwrites it in place. A layer is given by its name, of several the
    last, or by its number in `layers`.

    `layers` are those of the file that the state selects, in order, Input and data layers included. `inputs` are all
    inputs, `input_shapes` the shapes of those that the file gives one; `outputs` the blobs that no layer reads, in
    order. Nothing is compiled, and no layer is checked, before `shapes`, `params` or `run` asks for it. Threads may
    share a net.
    """

    def __init__(
        self,
        message: Message,
        weights: LiveWeights,
        state: State,
        target: str,
        dialects: Sequence[str],
        warn: Callable[[str], None],
    ) -> None:
        self.message, self.weights, self.state, self.target = message, weights, state, target
        self.dialects = dialects
        upgraded = upgrade_net(message, [])
        self.kept = select_layers(upgraded["layer"], state.with_file_stages(upgraded), [])
        self.layers = tuple(LiveLayer(self, i, layer) for i, layer in enumerate(self.kept))
        self.inputs, self.input_shapes = find_inputs(upgraded, self.kept)
        self.outputs = unread_blobs(self.inputs, self.layers)
        self.last_shapes: dict[str, tuple[int, ...]] = dict(self.input_shapes)
        self.lock = RLock()
        self.graphs: OrderedDict[tuple[tuple[Dim, ...], ...], BlobGraph] = OrderedDict()
        self.plans: OrderedDict[tuple[str, ...], WantedNet] = OrderedDict()
        self.constants: dict[str, Constant] = {}
        self.resolved: dict[Key, str] = {}
        self.packed_weights = PackedWeights()
        self.warn, self.warned = warn, set[str]()

    @classmethod
    def read(
        cls,
        prototxt_file: str | Path | bytes,
        weights: str | Path | bytes | None = None,
        *,
        phase: str = "TEST",
        level: int = 0,
        stages: Iterable[str] = (),
        target: str = "cpu",
        dialect: str | Sequence[str] = (),
        proto: str | Path | None = None,
        fills: bool = True,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> LiveNet:
        """A net from its prototxt and its weights (.caffemodel or .h5): paths, or contents as bytes.

        Layers without weights have what Caffe's fillers make, random ones by a fixed seed, with a warning if there is a
        file of weights; without `fills` only what the prototxt says exactly, and a run that needs other ones is
        refused. `target`, `dialect` and `proto` are those of `cortado.compile`. `warn` is called once with each
        warning. CompileError if a file cannot be read.
        """
        load_plugins()
        schema, layout = schema_for(proto), layout_for(proto)
        if isinstance(prototxt_file, bytes):
            message = prototxt.parse_bytes(prototxt_file, "the prototxt", schema)
        else:
            message = prototxt.read(prototxt_file, schema)
        parse_dialects(words := (dialect,) if isinstance(dialect, str) else tuple(dialect))
        found, name = None, "the caffemodel"
        if isinstance(weights, bytes):
            found = caffemodel.parse(weights, name, layout)
        elif weights is not None:
            found, name = read_weights(weights, layout), str(weights)
        state = State(phase, level, frozenset(stages))
        return cls(message, LiveWeights.of(found, name, fills), state, target, words, warn)

    def make_inputs(self, shapes: Shapes) -> None:
        """Make inputs of these tops of DummyData layers, which otherwise are constants."""
        self.inputs += tuple(name for name in shapes if name not in self.inputs)
        self.input_shapes |= shapes
        self.last_shapes |= shapes

    def shapes(self, input_shapes: Shapes) -> dict[Key, tuple[int, ...]]:
        """The shapes of all blobs by key, for these shapes of the inputs, without compiling anything.

        Inputs that are not given have the shape of the last run, or the file's. A size that depends on the data, as of
        a list of detections, is 1, as in Caffe before it runs. CompileError, with all that is wrong, if the net refuses
        them.
        """
        graph = self.blob_graph({**self.last_shapes, **input_shapes}).graph
        found = dict[Key, tuple[int, ...]]()
        for name, value in graph.returns:
            dims = tuple(1 if isinstance(d, AtMost) else d for d in value.type.dims)
            if name.startswith("="):
                found[name[1:]] = dims
                continue
            number, _, top = name.partition(":")
            found[int(number), int(top)] = found[self.layers[int(number)].name, int(top)] = dims
        return found

    def sized_by_data(self, input_shapes: Shapes) -> set[str]:
        """The names of the blobs with a size that depends on the data, for these shapes of the inputs."""
        returns = self.blob_graph({**self.last_shapes, **input_shapes}).graph.returns
        bounded = {name for name, value in returns if any(isinstance(d, AtMost) for d in value.type.dims)}
        return {name[1:] for name in bounded if name.startswith("=")}

    def use_target(self, target: str) -> None:
        """Compile for another target from the next run on."""
        with self.lock:
            if target != self.target:
                self.target = target
                self.plans.clear()

    def run(
        self, inputs: Mapping[str, Any], wanted: Sequence[Key] = (), *, reads_changes: bool = True
    ) -> list[np.ndarray[Any, Any]]:
        """The wanted blobs, or all outputs, as new arrays, for these arrays of the inputs that they depend on.

        One plan is compiled for each set of wanted blobs, and what they do not depend on is not computed. An input of
        another shape reshapes the net. Parameters that a program has written since the last run count, unless
        `reads_changes` is False. CompileError if the net cannot be built so, or an input is missing or does not fit.
        """
        names = tuple(self.resolve(key) for key in wanted or self.outputs)
        shapes = {name: tuple(np.shape(x)) for name, x in inputs.items()}
        if unknown := [name for name in inputs if name not in self.inputs]:
            hint = did_you_mean(unknown[0], self.inputs)
            advice = f"The inputs are {', '.join(self.inputs) or 'none'}."
            raise CompileError(f'the net has no input "{unknown[0]}"{hint}', advice=advice)
        with self.lock:
            if reads_changes and self.weights.take_changes():
                self.forget()
            plan = self.plan_for(tuple(dict.fromkeys(names)), {**self.last_shapes, **shapes})
            self.last_shapes.update(shapes)
        if missing := [name for name in plan.inputs if name not in inputs]:
            raise CompileError(f'the input "{missing[0]}" is not given', advice=f"Give {', '.join(plan.inputs)}.")
        try:
            made = plan.net({name: inputs[name] for name in plan.inputs})
        except ValueError as e:
            raise CompileError(str(e)) from None
        return [made[name] if name not in names[:i] else made[name].copy() for i, name in enumerate(names)]

    def params_of(self, number: int) -> list[Array]:
        """The learnt blobs of layer `number`: see LiveLayer.params."""
        with self.lock:
            learnt = self.learnt_of(number)
            arrays = [self.weights.array((blob.owner, blob.index)) for blob in learnt]
            return [a if a.shape == b.shape else a.reshape(b.shape) for a, b in zip(arrays, learnt, strict=True)]

    def learnt_of(self, number: int) -> tuple[LearntBlob, ...]:
        """What the learnt blobs of layer `number` are: see LiveLayer.params."""
        return self.blob_graph(self.last_shapes).learnt.get(number, ())

    def read_params(self, number: int) -> list[Array]:
        """Copies of the learnt blobs of layer `number`, without those that have no numbers. Errors as in LiveLayer."""
        with self.lock:
            if self.weights.take_changes():
                self.forget()
            found = [(self.weights.used.get((b.owner, b.index)), b.shape) for b in self.learnt_of(number)]
            return [data.reshape(shape).numpy().copy() for data, shape in found if data is not None]

    def write_params(self, number: int, arrays: Sequence[Any], rest_is_zero: bool = False) -> None:
        """Replace the learnt blobs of layer `number` by arrays with as many numbers. Nothing is checked yet.

        Others of its blobs stay, or become zero. Where layers share a blob (`param { name }`), it is the same for all.
        """
        owners = shared_owners(self.layers)
        specs, name = self.kept[number]["param"], self.layers[number].name
        with self.lock:
            if rest_is_zero:
                self.weights.write_all(name, arrays)
            for index, data in enumerate(arrays):
                shared = specs[index]["name"] if index < len(specs) else ""
                self.weights.write(owners[shared] if shared else (name, index), data)
            self.forget()

    def output_graph(self, shapes: Shapes) -> Graph:
        """The graph that returns all outputs, for these shapes of the inputs; others have those of the last run."""
        return select_values(self.read_graph({**self.last_shapes, **shapes}), [f"={name}" for name in self.outputs])

    def time_layers(self, inputs: Mapping[str, Any], wanted: Sequence[Key], repeat: int = 1) -> LayerTimes | None:
        """The times of layers in so many runs on the CPU, after others that warm it up; None where a GPU computes."""
        with self.lock:
            names = tuple(dict.fromkeys(self.resolve(key) for key in wanted))
            shapes = {name: tuple(np.shape(x)) for name, x in inputs.items()}
            plan = self.plan_for(names, {**self.last_shapes, **shapes})
        return plan.time_layers(inputs, {layer.message.loc_of("name"): layer.number for layer in self.layers}, repeat)

    def with_message(self, message: Message) -> LiveNet:
        """Another net with the same weights, state and target; it has the shapes of the last run."""
        made = LiveNet(message, self.weights, self.state, self.target, self.dialects, self.warn)
        made.make_inputs({name: shape for name, shape in self.last_shapes.items() if name not in made.inputs})
        made.last_shapes.update(self.last_shapes)
        return made

    def resolve(self, key: Key) -> str:
        """The name that a blob graph gives a key. CompileError if the net has no such layer, top or blob."""
        if key not in self.resolved:
            self.resolved[key] = find_value(key, self.inputs, self.layers)
        return self.resolved[key]

    def plan_for(self, names: tuple[str, ...], shapes: Shapes) -> WantedNet:
        """The net that returns these values, and takes these shapes. CompileError if there is none."""
        plan = self.plans.get(names)
        if plan is None:
            plan = WantedNet(self.read_graph, names, shapes, self.target, self.packed_weights)
            self.plans[names] = plan
            while len(self.plans) > MAX_PLANS:
                self.plans.popitem(last=False)
        elif not plan.is_ready_for(shapes):
            self.blob_graph(shapes)  # its errors have a place
        plan.shapes = shapes
        self.plans.move_to_end(names)
        return plan

    def read_graph(self, shapes: Dims) -> Graph:
        """The blob graph for these shapes of all inputs."""
        return self.blob_graph(shapes).graph

    def blob_graph(self, shapes: Dims) -> BlobGraph:
        """The graph that returns all blobs, for these shapes of the inputs; built at most once while it is in use."""
        with self.lock:
            key = tuple(shapes[name] for name in self.inputs if name in shapes)
            if key not in self.graphs:
                made = build_blob_graph(
                    self.message,
                    self.kept,
                    self.weights,
                    state=self.state,
                    shapes=shapes,
                    dialects=parse_dialects(self.dialects),
                    filler=self.weights.fill,
                    warn=self.warn_once,
                )
                graph = share_constants(made.graph, self.constants)
                self.graphs[key] = BlobGraph(graph, made.outputs, made.learnt)
                if len(self.graphs) > MAX_GRAPHS:
                    self.graphs.popitem(last=False)
            self.graphs.move_to_end(key)
            return self.graphs[key]

    def warn_once(self, sentence: str) -> None:
        if sentence not in self.warned:
            self.warned.add(sentence)
            self.warn(sentence)

    def forget(self) -> None:
        """Drop all that was compiled with weights that have changed."""
        self.graphs.clear()
        self.plans.clear()
        self.packed_weights = PackedWeights()
