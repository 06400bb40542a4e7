"""Runs a layer in a net of its own, and the kinds of rows that the tables of the walk are made of.

A row's key names fields, as in "pad_h pad_w", or a value of an enum, as in "operation=MAX". Of each field that it
names, a row also shows that the field matters: without it the answer is another one, or the layer is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cortado.compiler.errors import CompileError
from cortado.compiler.reference import evaluate
from cortado.frontends.caffe.dialects import Dialects
from cortado.frontends.caffe.layer_types import LAYERS, LayerType
from cortado.frontends.caffe.message_builder import replace_fields
from cortado.frontends.caffe.net import build_graph
from cortado.frontends.caffe.weights import FunctionWeights
from cortado.frontends.files.message import Message
from cortado.frontends.files.prototxt import parse, read
from cortado.frontends.files.schema import FieldType, field_types

Array = np.ndarray[Any, np.dtype[np.float32]]
Settings = Mapping[str, Any]
GOLDENS = Path(__file__).parents[1] / "goldens"
TOLERANCE = 2e-6  # of the largest element: a few roundings of float32, by 2^-24 each; the sums are of at most 30 terms


def render(type: str, settings: Settings) -> str:
    """Settings as text: a list is a repeated field, a dict a block; None leaves a field out."""
    parts = []
    for name, value in settings.items():
        kind = field_types(type)[name]
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(one, dict):
                parts.append(f"{name} {{ {render(kind.message, one)} }}")
            else:
                text = str(one).lower() if isinstance(one, bool) else f'"{one}"' if kind.type == "string" else str(one)
                parts.append(f"{name}: {text}")
    return " ".join(parts)


def f32(numbers: Any) -> Array:
    """Numbers as an array of float32."""
    made: Array = np.asarray(numbers, np.float32)
    return made


def image(*shape: int, seed: int = 0) -> Array:
    """Normally distributed numbers of that shape."""
    made: Array = np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)
    return made


@dataclass
class Walk:
    """One layer type: its bottoms, the settings of the net that rows are compared with, and the rows."""

    bottoms: Sequence[Array]
    rows: Mapping[str, Row]
    settings: Settings = field(default_factory=dict)
    tops: int = 1
    param: str = ""  # another message of LayerParameter that is walked: loss_param
    reads: Sequence[int] = ()  # the inputs that the layer reads by their index; by default each once
    dialect: str = ""  # of a type that forks of Caffe define differently


class Trial:
    """A layer type with its walk, and the weights of the last run."""

    def __init__(self, type: str, walk: Walk) -> None:
        self.type, self.walk = type, walk
        self.x, self.w = list(walk.bottoms), list[Array]()
        self.warnings: list[str] = []

    @property
    def meaning(self) -> LayerType:
        """The entry of the walk's dialect or, without one, of the type."""
        return LAYERS[self.type].dialects.get(self.walk.dialect, LAYERS[self.type])

    @property
    def param(self) -> str:
        return self.walk.param or self.meaning.param or ""

    @property
    def fields(self) -> dict[str, FieldType]:
        """The settings by name; of a dialect, those that it has."""
        known = field_types(self.message) if self.param else {}
        return {name: kind for name, kind in known.items() if not self.walk.dialect or name in self.meaning.fields}

    @property
    def dialects(self) -> Dialects:
        return Dialects(self.walk.dialect)

    @property
    def message(self) -> str:
        return field_types("LayerParameter")[self.param].message

    def text(self, settings: Settings, x: Sequence[Array], tops: int, more: str = "") -> str:
        """The prototxt; each bottom is an input, and one more input keeps the net from being without."""
        lines = [
            f'layer {{ name: "x{i}" type: "Input" top: "x{i}" input_param {{ shape {{ '
            f"{' '.join(f'dim: {n}' for n in a.shape)} }} }} }}"
            for i, a in enumerate([*x, f32([0])])
        ]
        ends = [f'bottom: "x{i}"' for i in self.walk.reads or range(len(x))] + [f'top: "y{i}"' for i in range(tops)]
        merged = {**self.walk.settings, **settings}
        own = (
            f"{self.param} {{ {render(self.message, merged)} }}"
            if self.param and any(v is not None for v in merged.values())
            else ""
        )
        return "\n".join([*lines, f'layer {{ name: "l" type: "{self.type}" {" ".join(ends)} {own} {more} }}'])

    def run(self, settings: Settings = {}, x: Sequence[Array] = (), tops: int = 0, more: str = "") -> list[Array]:  # noqa: B006
        """The tops, with the walk's settings overridden by these. CompileError where it is refused."""
        given, count = list(x) or self.x, tops or self.walk.tops
        self.w, self.warnings = [], []

        def fill(layer: str, type: str, index: int, shape: tuple[int, ...]) -> Array:
            made: Array = np.random.default_rng([index, *shape]).uniform(0.5, 1.5, shape).astype(np.float32)
            self.w.append(made)
            return made

        net = parse(self.text(settings, given, count, more), "walk.prototxt")
        graph = build_graph(net, FunctionWeights(fill), dialects=self.dialects, warn=self.warnings.append)
        arrays = {f"x{i}": a for i, a in enumerate([*given, f32([0])])}
        made = evaluate(graph, *(torch.from_numpy(arrays[v.name]) for v in graph.inputs))
        found = dict(zip([name for name, _ in graph.returns], made, strict=True))
        return [found[f"y{i}"].numpy() for i in range(count)]

    def one(self, settings: Settings = {}, x: Sequence[Array] = (), more: str = "") -> Array:  # noqa: B006
        """The only top, or the first."""
        return self.run(settings, x, more=more)[0]


def is_close(a: Sequence[Array], b: Sequence[Array]) -> bool:
    return len(a) == len(b) and all(
        p.shape == q.shape
        and np.allclose(p, q, rtol=0, atol=TOLERANCE * max(1, np.abs(q).max(initial=0)), equal_nan=True)
        for p, q in zip(a, b, strict=True)
    )


class Row:
    """What settings do to the answer. `check` fails if they do not."""

    def check(self, trial: Trial, key: str) -> None:
        raise NotImplementedError


def fields_of(key: str) -> list[str]:
    return [part.partition("=")[0] for part in key.split()]


@dataclass
class Becomes(Row):
    """The answer with these settings is what `expected` computes from bottoms `t.x` and weights `t.w`."""

    settings: Settings
    expected: Callable[[Trial], Any]
    x: Sequence[Array] = ()  # other bottoms than the walk's

    def check(self, trial: Trial, key: str) -> None:
        if self.x:
            trial = Trial(trial.type, replace(trial.walk, bottoms=self.x))
        made = trial.run(self.settings)
        expected = self.expected(trial)
        wanted = expected if isinstance(expected, list) else [expected]
        assert is_close(made, [np.asarray(a, np.float32) for a in wanted]), (made, wanted)
        for name in fields_of(key):
            assert name in self.settings, f"{key}: the row does not set {name}"
            try:
                without = trial.run({**self.settings, name: trial.walk.settings.get(name)})
            except CompileError:
                continue
            assert not is_close(without, made), f"{name} changes nothing"


def same(settings: Settings, other: Settings) -> Becomes:
    """The answer is that of other settings, which other rows are about."""
    return Becomes(settings, lambda t: t.run(other))


@dataclass
class Golden(Row):
    """A golden case, whose numbers are Caffe's or a fork's, has these fields; without one it gives other numbers."""

    name: str

    def check(self, trial: Trial, key: str) -> None:
        (path,) = GOLDENS.glob(f"*/{self.name}.prototxt")
        with np.load(path.with_suffix(".npz")) as file:
            stored = {name: file[name] for name in file.files}
        net = read(path)
        for part in key.split():
            name, _, value = part.partition("=")
            has = [m for l in net["layer"] if l["type"] == trial.type for m in l.submessages(trial.param)]
            assert any(value in map(str, m.values[name]) if value else name in m.written for m in has), (
                f"{part} is not in it"
            )
            try:
                made = answer(without_field(net, trial, name), stored, trial.dialects)
            except (CompileError, OtherBlobs):
                continue
            wanted = {k.removeprefix("out:"): a for k, a in stored.items() if k.startswith("out:")}
            assert any(not is_close([made[k]], [wanted[k]]) for k in wanted), f"{name} changes nothing"


class OtherBlobs(Exception):
    """A net asks for other blobs than its golden case has."""


def answer(net: Message, stored: Mapping[str, Array], dialects: Dialects) -> dict[str, Array]:
    """The outputs of a golden case's net."""

    def fill(layer: str, type: str, index: int, shape: tuple[int, ...]) -> Array:
        found = stored.get(f"param:{layer}:{index}")
        if found is None or found.size != np.prod(shape):
            raise OtherBlobs
        return found.reshape(shape)

    weights = FunctionWeights(fill)
    graph = build_graph(net, weights, dialects=dialects)
    made = evaluate(graph, *(torch.from_numpy(stored[f"in:{v.name}"]) for v in graph.inputs))
    return {name: t.numpy() for (name, _), t in zip(graph.returns, made, strict=True)}


def without_field(net: Message, trial: Trial, name: str) -> Message:
    """The net with the field taken out of all layers of the trial's type."""
    layers = []
    for l in net["layer"]:
        if l["type"] == trial.type and (own := l.submessages(trial.param)):
            l = replace_fields(l, **{trial.param: (replace_fields(own[0], **{name: ()}),)})
        layers.append(l)
    return replace_fields(net, layer=tuple(layers))


@dataclass
class Nothing(Row):
    """Whatever of these values the field has, the answer is the same, bit by bit, and nothing is said."""

    reason: str
    values: Sequence[Any]

    def check(self, trial: Trial, key: str) -> None:
        base = trial.run()
        said = trial.warnings
        for value in self.values:
            made = trial.run(dict.fromkeys(fields_of(key), value))
            assert all(np.array_equal(a, b) for a, b in zip(made, base, strict=True)), f"{value} changes the answer"
            assert trial.warnings == said, trial.warnings


@dataclass
class Refused(Row):
    """With this value the layer is refused, in words that name it and the field or `words`, at the field."""

    value: Any
    words: str = ""
    more: Settings = field(default_factory=dict)

    def check(self, trial: Trial, key: str) -> None:
        for name in fields_of(key):
            settings = {**self.more, name: self.value}
            try:
                trial.run(settings)
            except CompileError as e:
                assert e.loc and f'layer "l" ({trial.type}): ' in e.message and (self.words or name) in e.message, (
                    e.message
                )
                at = trial.text(settings, trial.x, trial.walk.tops).splitlines()[e.loc.line - 1][e.loc.column - 1 :]
                assert at.startswith((name, "name:", "top:")), at
            else:
                raise AssertionError(f"{name}: {self.value} is not refused")
