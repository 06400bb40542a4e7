"""Selects the layers of a net by Caffe's rules on phase, level and stage (net.cpp, StateMeetsRule)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...compiler.errors import CompileError
from ..files.message import Message


@dataclass(frozen=True, slots=True)
class State:
    """Phase, level and stages, against which include and exclude rules are tested (NetState)."""

    phase: str = "TEST"
    level: int = 0
    stages: frozenset[str] = frozenset()

    def with_file_stages(self, net: Message) -> State:
        """Add the stages of the file's own `state`; its phase and level are ignored (net.cpp, Net::Net)."""
        return replace(self, stages=self.stages.union(net["state"]["stage"]))

    def ignored_fields(self, net: Message) -> Iterator[CompileError]:
        """Yield an error, for a warning, for the phase and the level of the file's `state` where they differ."""
        given = net["state"]
        for field, mine in (("phase", self.phase), ("level", self.level)):
            if field in given and given[field] != mine:
                sentence = f"the file's state has {field}: {given[field]}, and the layers are selected for {mine}"
                yield given.fault(f"{sentence}: Caffe ignores it too", field)


def select_layers(layers: Iterable[Message], state: State, errors: list[CompileError]) -> list[Message]:
    """The layers whose rules `state` meets, in order. A layer with both types of rules is appended to `errors`."""
    kept = []
    for layer in layers:
        include, exclude = layer["include"], layer["exclude"]
        if include and exclude:
            advice = "Keep one of the two, as Caffe asks."
            errors.append(layer.fault(f'layer "{layer["name"]}" has include and exclude rules', "exclude", advice))
        elif any(is_met(r, state) for r in include) if include else not any(is_met(r, state) for r in exclude):
            kept.append(layer)
    return kept


def is_met(rule: Message, state: State) -> bool:
    """True if the state has the phase, level and stages that a rule asks for."""
    if "phase" in rule and rule["phase"] != state.phase:
        return False
    if "min_level" in rule and state.level < rule["min_level"]:
        return False
    if "max_level" in rule and state.level > rule["max_level"]:
        return False
    return state.stages >= set(rule["stage"]) and state.stages.isdisjoint(rule["not_stage"])
