"""What a net's inputs and outputs are, and the words for arrays that do not fit them. It imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Dim = int | str


def upper_bound(dim: Dim) -> int:
    """How large a dimension can get: "?200" is at most 200 and known when the net runs."""
    return int(dim[1:]) if isinstance(dim, str) else dim


@dataclass(frozen=True, slots=True)
class Spec:
    """An input or output of a net: dtype and dimensions, "?200" for a dynamic one of at most 200."""

    dtype: str
    dims: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.dims))}]"


def describe_specs(specs: Mapping[str, Spec]) -> str:
    """All inputs, for a message."""
    return ", ".join(f"{name}: {spec}" for name, spec in specs.items()) or "no inputs"


def describe_net(net: str, inputs: Mapping[str, Spec], outputs: Mapping[str, Spec], runner: str) -> str:
    """The `repr` of a loaded net."""
    names, results = (", ".join(f"{n}: {s}" for n, s in specs.items()) for specs in (inputs, outputs))
    return f"<Net {net}({names}) -> {results} by {runner}>"


def inputs_by_name(specs: Mapping[str, Spec], inputs: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name: one array, a dict, or keywords. ValueError if one is unknown or missing."""
    if inputs is not None and not isinstance(inputs, Mapping):
        if len(specs) != 1:
            raise ValueError(f"the net takes {describe_specs(specs)}: give them by name")
        inputs = dict.fromkeys(specs, inputs)
    given = {**(inputs or {}), **named}
    if unknown := [name for name in given if name not in specs]:
        raise ValueError(f"the net has no input {unknown[0]!r}; it takes {describe_specs(specs)}")
    if missing := [name for name in specs if name not in given]:
        raise ValueError(f"input {missing[0]!r} is missing; the net takes {describe_specs(specs)}")
    return given


def require_ranks(specs: Mapping[str, Spec], shapes: Mapping[str, Shape]) -> None:
    """ValueError if an input has another number of dimensions."""
    for name, shape in shapes.items():
        if len(shape) != len(specs[name].dims):
            due = describe_specs(specs)
            raise ValueError(f"input {name!r} has {len(shape)} dimensions, {list(shape)}; the net takes {due}")


def describe_shapes(names: Sequence[str], shapes: Sequence[Sequence[Dim]]) -> str:
    """Shapes by name, for a message."""
    return ", ".join(f"{name} [{', '.join(map(str, dims))}]" for name, dims in zip(names, shapes, strict=True))


def other_shapes(names: Sequence[str], held: Sequence[Sequence[Sequence[Dim]]], given: Sequence[Shape]) -> ValueError:
    """The error for shapes that a file does not hold; `held` are those that it does."""
    known = "; ".join(describe_shapes(names, shapes) for shapes in held)
    asked = describe_shapes(names, given)
    return ValueError(f"this net holds the shapes {known} and was given {asked}; compile it for those too")
