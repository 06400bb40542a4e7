"""Expansion of functions and `repeat`, which people may write and the printer never emits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir import Graph, Value
from ..suggestion import did_you_mean
from .frame import ActiveCall, Frame, find_last_definitions
from .scope import Scope
from .tree import Assignment, CallSyntax, Function, Name, Repeat, Statements, TypedName
from .weights import Tensors

MAX_ROUNDS = 10_000


class Expander(Scope):
    """A scope that expands calls of functions and `repeat` blocks."""

    def __init__(
        self, text: str, file: str, weights: Tensors, kernels: Mapping[str, Graph], functions: Mapping[str, Function]
    ) -> None:
        super().__init__(text, file, weights, kernels)
        self.functions = functions
        self.last_definitions: dict[str, Mapping[str, TypedName]] = {}  # by function, of those that were called

    @property
    def callable_names(self) -> list[str]:
        return [*super().callable_names, *self.functions]

    def build_statements(self, body: Statements) -> None:
        for part in body:
            if isinstance(part, Repeat):
                self.build_repeat(part)
            else:
                super().build_statements((part,))

    def build_repeat(self, repeat: Repeat) -> None:
        rounds = self.evaluate_rounds(repeat)
        names = repeat.rounds.names
        for i, values in enumerate(rounds):
            self.count_work(Name("repeat", repeat.token))
            with self.frame.enter_round(i + 1, i + 1 == len(rounds), names, values):
                self.build_statements(repeat.body)

    def evaluate_rounds(self, repeat: Repeat) -> list[tuple[Any, ...]]:
        """For each round, the values of its names."""
        names, here = repeat.rounds.names, Name("repeat", repeat.token)
        given, last = self.evaluate(repeat.rounds.given), self.evaluate(repeat.rounds.last)
        if names and last is None:
            if not isinstance(given, tuple):
                raise self.make_error(here, f"{given!r} is not a list", "Write: repeat c in [64, 128] { ... }.")
            rows = [item if len(names) > 1 else (item,) for item in given]
            if bad := [row for row in rows if not isinstance(row, tuple) or len(row) != len(names)]:
                raise self.make_error(here, f"{len(names)} names take {len(names)} numbers, not {bad[0]!r}")
            return rows
        first, end = (given, last) if names else (1, given)
        if type(first) is not int or type(end) is not int or end - first >= MAX_ROUNDS:
            raise self.make_error(here, f"the number of rounds is a whole number up to {MAX_ROUNDS}")
        return [(i,) if names else () for i in range(first, end + 1)]

    def build_assignment(self, line: Assignment) -> None:
        if line.call.target.text not in self.functions:
            super().build_assignment(line)
            return
        name = line.call.target
        if line.places or any(t.layout for t in line.targets):
            raise self.make_error(name, f"{name.text} is a function: placements are for results of operators")
        values = self.expand_call(line.call, [self.frame.value_name_of(t) for t in line.targets])
        for target, value in zip(line.targets, values, strict=True):
            self.check_type(target, value)
            self.bind_name(target.name, value)

    def build_call(self, call: CallSyntax, name: str) -> Value:
        if call.target.text not in self.functions:
            return super().build_call(call, name)
        return self.expand_call(call, [name])[0]

    def expand_call(self, call: CallSyntax, names: list[str]) -> list[Value]:
        """Expand a call to the function's lines. Returns its results, under these names."""
        self.count_work(call.target)
        with self.enter_call(call):
            return self.expand_lines(call, names)

    def expand_lines(self, call: CallSyntax, names: list[str]) -> list[Value]:
        function, target = self.functions[call.target.text], call.target
        if len(function.results) != len(names):
            count = len(function.results)
            raise self.make_error(target, f"{target.text} returns {count} value{'s'[: count != 1]}, not {len(names)}")
        if any(visit.function == target.text for visit in self.frame.active_calls):
            raise self.make_error(target, f"{target.text} calls itself", "Recursion is not supported; use repeat.")
        finals = {r.text: name for r, name in zip(function.results, names, strict=True) if isinstance(r, Name)}
        visit = ActiveCall(target.text, names[0], target.token.line or 1)
        outer, given = self.frame, self.bind_arguments(function, call, names[0])
        if target.text not in self.last_definitions:
            self.last_definitions[target.text] = find_last_definitions(function.body)
        prefix = f"{names[0]}."
        if any(outside.value_name == names[0] for outside in outer.active_calls):  # it makes what its caller returns
            prefix += f"{target.text}."
        self.frame = Frame(given, prefix, self.last_definitions[target.text], finals, (*outer.active_calls, visit))
        try:
            for parameter in function.parameters:  # a default may refer to the parameters before it
                if parameter.name.text not in given:
                    given[parameter.name.text] = self.evaluate(parameter.default)
            self.build_statements(function.body)
            results = zip(function.results, names, strict=True)
            return [self.build_call(r, n) if isinstance(r, CallSyntax) else self.lookup(r) for r, n in results]
        finally:
            self.frame = outer

    def bind_arguments(self, function: Function, call: CallSyntax, name: str) -> dict[str, Any]:
        """The arguments of a call by parameter: values, numbers and words; parameters with a default are optional."""
        called, parameters = function.name.text, function.parameters
        if len(call.operands) > len(parameters):
            raise self.make_error(call.target, f"{called} takes {len(parameters)} arguments, not {len(call.operands)}")
        given = {p.name.text: operand for p, operand in zip(parameters, call.operands, strict=False)}
        for key, value in call.attributes.items():
            if key in given:
                raise self.make_error(call.target, f"{called} is given {key} twice")
            if key not in {p.name.text for p in parameters}:
                known = did_you_mean(key, [p.name.text for p in parameters])
                raise self.make_error(call.target, f"{called} has no parameter {key}{known}")
            given[key] = value
        missing = [p.name.text for p in parameters if p.name.text not in given and not p.optional]
        if missing:
            raise self.make_error(call.target, f"{called} needs {' and '.join(missing)}")
        return {key: self.evaluate_argument(value, f"{name}.{key}") for key, value in given.items()}

    def evaluate_argument(self, written: Any, name: str) -> Any:
        """An argument of a function: a value, or a number or word, evaluated in the caller's frame."""
        if isinstance(written, CallSyntax):
            return self.build_nested_call(written, name)
        return self.binding_of(written) if isinstance(written, Name) else self.evaluate(written)
