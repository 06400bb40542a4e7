"""What people may write and no stage prints: functions, and lines that are repeated. Reading puts the lines there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir import Graph, Value
from ..op import REGISTRY, did_you_mean
from .frame import Frame, Visit, last_made
from .scope import Scope
from .tree import Call, Function, Line, Name, Repeat, Statements
from .weights import Tensors

MOST = 10_000  # rounds


class Expander(Scope):
    """A scope in which functions can be called and lines repeated."""

    def __init__(
        self, text: str, file: str, weights: Tensors, kernels: Mapping[str, Graph], functions: tuple[Function, ...]
    ) -> None:
        super().__init__(text, file, weights, kernels)
        self.functions: dict[str, Function] = {}
        for function in functions:
            name = function.name
            if name.text in self.functions or name.text in kernels or name.text in REGISTRY:
                raise self.fault(name, f"{name.text} is defined already", "Give the function a name of its own.")
            self.functions[name.text] = function
        self.last = {name: last_made(f.body) for name, f in self.functions.items()}

    @property
    def callable(self) -> list[str]:
        return [*super().callable, *self.functions]

    def statements(self, body: Statements) -> None:
        for part in body:
            if isinstance(part, Repeat):
                self.repeat(part)
            else:
                super().statements((part,))

    def repeat(self, repeat: Repeat) -> None:
        rounds = self.rounds(repeat)
        names = repeat.rounds.names
        for i, values in enumerate(rounds):
            with self.frame.round(i + 1, i + 1 == len(rounds), names, values):
                self.statements(repeat.body)

    def rounds(self, repeat: Repeat) -> list[tuple[Any, ...]]:
        """For each round what its names stand for."""
        names, here = repeat.rounds.names, Name("repeat", repeat.token)
        given, last = self.worked_out(repeat.rounds.given), self.worked_out(repeat.rounds.last)
        if names and last is None:
            if not isinstance(given, tuple):
                raise self.fault(here, f"{given!r} is no list", "Write: repeat c in [64, 128] { ... }.")
            rows = [item if len(names) > 1 else (item,) for item in given]
            if bad := [row for row in rows if not isinstance(row, tuple) or len(row) != len(names)]:
                raise self.fault(here, f"{len(names)} names stand for {len(names)} numbers, and here is {bad[0]!r}")
            return rows
        first, end = (given, last) if names else (1, given)
        if type(first) is not int or type(end) is not int or end - first >= MOST:
            raise self.fault(here, f"lines are repeated up to {MOST} times, in whole numbers")
        return [(i,) if names else () for i in range(first, end + 1)]

    def line(self, line: Line) -> None:
        if line.call.target.text not in self.functions:
            super().line(line)
            return
        name = line.call.target
        if line.places or any(t.layout for t in line.targets):
            raise self.fault(name, f"{name.text} is a function: places are for what single operators make")
        values = self.expanded(line.call, [self.frame.called(t) for t in line.targets])
        for target, value in zip(line.targets, values, strict=True):
            self.check_type(target, value)
            self.stand(target.name, value)

    def made(self, call: Call, name: str) -> Value:
        if call.target.text not in self.functions:
            return super().made(call, name)
        return self.expanded(call, [name])[0]

    def expanded(self, call: Call, names: list[str]) -> list[Value]:
        """The lines of a function in the place of its call. What it returns, called by these names."""
        function, target = self.functions[call.target.text], call.target
        if len(function.results) != len(names):
            count = len(function.results)
            raise self.fault(target, f"{target.text} returns {count} value{'s'[: count != 1]}, not {len(names)}")
        if any(visit.function == target.text for visit in self.frame.visits):
            raise self.fault(target, f"{target.text} calls itself", "That would never end: repeat lines instead.")
        finals = {r.text: name for r, name in zip(function.results, names, strict=True) if isinstance(r, Name)}
        visit = Visit(target.text, names[0], target.token.line or 1)
        outer, given = self.frame, self.arguments(function, call, names[0])
        self.frame = Frame(given, f"{names[0]}.", self.last[target.text], finals, (*outer.visits, visit))
        try:
            for parameter in function.parameters:  # a default may speak of the parameters before it
                if parameter.name.text not in given:
                    given[parameter.name.text] = self.worked_out(parameter.default)
            self.statements(function.body)
            results = zip(function.results, names, strict=True)
            return [self.made(r, n) if isinstance(r, Call) else self.lookup(r) for r, n in results]
        finally:
            self.frame = outer

    def arguments(self, function: Function, call: Call, name: str) -> dict[str, Any]:
        """What the parameters stand for in this call: values, numbers and words. Those with a default may lack."""
        called, parameters = function.name.text, function.parameters
        if len(call.operands) > len(parameters):
            raise self.fault(call.target, f"{called} takes {len(parameters)} arguments, not {len(call.operands)}")
        given = {p.name.text: operand for p, operand in zip(parameters, call.operands, strict=False)}
        for key, value in call.attributes.items():
            if key in given:
                raise self.fault(call.target, f"{called} is given {key} twice")
            if key not in {p.name.text for p in parameters}:
                known = did_you_mean(key, [p.name.text for p in parameters])
                raise self.fault(call.target, f"{called} has no parameter {key}{known}")
            given[key] = value
        missing = [p.name.text for p in parameters if p.name.text not in given and not p.optional]
        if missing:
            raise self.fault(call.target, f"{called} needs {' and '.join(missing)}")
        return {key: self.argument(value, f"{name}.{key}") for key, value in given.items()}

    def argument(self, written: Any, name: str) -> Any:
        """An argument of a function: a value, or a number or word that is worked out here."""
        if isinstance(written, Call):
            return self.nested(written, name)
        return self.known(written) if isinstance(written, Name) else self.worked_out(written)
