"""Python layers that cortado recognizes by module and class; the code of others is not in the file, and never run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from ....compiler.ir import Value
from ....compiler.ops.arithmetic import Power
from ....compiler.registry import Registry
from ..layer import Layer, layer
from ..layer_checks import describe_range
from ..layer_types import MANY, count_range

PythonFunction = Callable[..., Value | tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class PythonLayer:
    """A known Python layer: its function, and the least and greatest count of bottoms and tops."""

    function: PythonFunction
    bottoms: tuple[int, int]
    tops: tuple[int, int]


PYTHON_LAYERS: Registry[PythonLayer] = Registry("Python layer")


def python_layer(
    module: str, name: str, bottoms: int | tuple[int, int] = 1, tops: int | tuple[int, int] = 1
) -> Callable[[PythonFunction], PythonFunction]:
    """Register the function (layer, settings, bottoms...) of a layer of a Python module. Counts are as for `layer`."""

    def enter(function: PythonFunction) -> PythonFunction:
        PYTHON_LAYERS.add(f"{module}.{name}", PythonLayer(function, count_range(bottoms), count_range(tops)))
        return function

    return enter


@dataclass
class PythonSettings:
    """The settings in `param_str`, a YAML mapping, which have to be read all."""

    layer: Layer
    values: dict[str, Any]
    read: set[str] = field(default_factory=set)

    def get(self, name: str, default: Any = None) -> Any:
        """A setting; `default` if there is none. CompileError if there is neither."""
        self.read.add(name)
        if name not in self.values and default is None:
            raise self.layer.fault(f"its param_str has no {name}", "param_str", f"Give param_str: \"'{name}': ...\".")
        return self.values.get(name, default)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number, 1 or more."""
        value = self.get(name, default)
        if type(value) is not int or not 1 <= value <= 1 << 24:
            raise self.layer.fault(f"{name} in its param_str is not a whole number from 1 to {1 << 24}", "param_str")
        return value

    def numbers(self, name: str, default: Sequence[float] | None = None) -> tuple[float, ...]:
        """A list of one or more numbers above 0."""
        values = self.get(name, default)
        if not isinstance(values, list | tuple) or not values or not all(map(is_positive, values)):
            raise self.layer.fault(f"{name} in its param_str is not a list of numbers above 0", "param_str")
        return tuple(map(float, values))

    def ignore(self, *names: str) -> None:
        """Settings that do not affect inference."""
        self.read.update(names)

    def check_all_read(self) -> None:
        """CompileError if the layer has not read a setting."""
        if unread := sorted(set(self.values) - self.read):
            sentence = f"cortado does not compute {', '.join(unread)} of {python_name(self.layer)}"
            raise self.layer.fault(sentence, "param_str", "If it does not affect the result, remove it.")


def is_positive(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value) and 0 < value <= 1 << 24


def python_name(l: Layer) -> str:
    """The module and class of a Python layer."""
    return f"{l.param['module']}.{l.param['layer']}"


@layer("Python", "python_param", bottoms=(0, MANY), tops=(0, MANY))
def python(l: Layer, *bottoms: Value) -> Value | tuple[Value, ...]:
    """A layer of a Python module that is known: region proposals, ENet's dropout."""
    name = python_name(l)
    if name not in PYTHON_LAYERS:
        advice = "Where it only brings data, put an Input layer in its place; else see docs/adding_a_layer.md."
        raise l.fault(f"its code, {name}, is not in the file", None, advice)
    known = PYTHON_LAYERS[name]
    for noun, has, wanted in (("bottom", len(bottoms), known.bottoms), ("top", len(l.tops), known.tops)):
        if not wanted[0] <= has <= wanted[1]:
            raise l.fault(f"{name} takes {describe_range(wanted)} {noun}s, and it has {has}")
    from ...files.param_str import parse_param_str  # here, since few nets need YAML

    try:
        settings = PythonSettings(l, parse_param_str(l.param["param_str"]))
    except ValueError as e:
        raise l.fault(f"its param_str {e}", "param_str") from None
    made = known.function(l, settings, *bottoms)
    settings.check_all_read()
    return made


@python_layer("spatial_dropout", "SpatialDropoutLayer")
def spatial_dropout(l: Layer, settings: PythonSettings, x: Value) -> Value:
    """1 / (1 - p) times the bottom in phase TEST, its own, which is a setting (ENet's python/spatial_dropout.py)."""
    phase, text = settings.get("phase"), settings.get("p")
    try:
        p = float(text)
    except (TypeError, ValueError):
        p = 0.0
    if not 0 < p < 1:
        raise l.fault("p in its param_str is not a number between 0 and 1", "param_str")
    if phase == "TRAIN":
        raise l.fault("it drops channels at random in its phase TRAIN", "param_str", "Write 'phase': 'TEST'.")
    return l.emit(Power(scale=1 / (1 - p)), x)
