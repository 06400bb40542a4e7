"""Upgrades whole nets to Caffe's current format, as its tool upgrade_net_proto_text does.

Nothing is selected, imported or checked: all layers, rules and settings stay. UpgradeNetAsNeeded of
util/upgrade_proto.cpp is the order of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...compiler.errors import CompileError
from ..files import prototxt
from ..files.message import Message
from ..files.prototxt_writer import show_message
from .message_builder import MessageBuilder, replace_fields
from .upgrade import upgrade_net

INPUT_FIELDS = ("input", "input_dim", "input_shape")
STATISTICS = 3  # the blobs of BatchNorm, which older files give a `param` each


@dataclass(frozen=True)
class UpgradedText:
    """A prototxt in the current format; is it `changed`, and what Caffe drops of the old one."""

    text: str
    changed: bool
    dropped: tuple[CompileError, ...]


def upgrade_text(path: str | Path) -> UpgradedText:
    """A prototxt of any generation in the current format. CompileError if it is none, or where Caffe aborts."""
    written, dropped = prototxt.read(path), list[CompileError]()
    made = upgrade_message(written, dropped)
    return UpgradedText(show_message(made, unknown=True), made is not written, tuple(dropped))


def upgrade_message(net: Message, dropped: list[CompileError]) -> Message:
    """A NetParameter in the current format; the same object if it is. Arguments and errors are those of upgrade_net."""
    made = upgrade_inputs(upgrade_net(net, dropped))
    layers = tuple(map(upgrade_statistics, made["layer"]))
    return made if layers == made["layer"] else replace_fields(made, layer=layers)


def upgrade_inputs(net: Message) -> Message:
    """The inputs at the top of the file as an Input layer in front of the others (UpgradeNetInput).

    Those without sizes stay: Caffe drops them, and their names with them. CompileError if there are sizes for fewer
    inputs than there are.
    """
    names, dims = net["input"], net["input_dim"]
    shapes = net["input_shape"] or tuple(
        Message("BlobShape", net.loc_of("input_dim", i), net.text, {"dim": dims[i : i + 4]}, schema=net.schema)
        for i in range(0, len(dims) - 3, 4)
    )
    if not net["input_shape"] and not dims:
        return net
    if len(shapes) < len(names):
        advice = "Each input has an input_shape, or four input_dim."
        raise net.fault(f"there are {len(names)} inputs, and sizes of {len(shapes)}", "input", advice)
    loc = net.loc_of("input")
    settings = Message("InputParameter", loc, net.text, {"shape": tuple(shapes[: len(names)])}, schema=net.schema)
    layer = MessageBuilder("LayerParameter", Message("LayerParameter", loc, net.text, schema=net.schema))
    layer.add("name", ("input",))
    layer.add("type", ("Input",))
    layer.copy(net, "input", "top")
    layer.add("input_param", (settings,))
    rest: dict[str, tuple[Any, ...]] = dict.fromkeys(INPUT_FIELDS, ())
    return replace_fields(net, **rest, layer=(layer.build(), *net["layer"]))


def upgrade_statistics(layer: Message) -> Message:
    """BatchNorm with a `param` for each of its statistics, which Caffe no longer learns (UpgradeNetBatchNorm)."""
    specs: tuple[Message, ...] = layer["param"]
    if layer["type"] != "BatchNorm" or len(specs) != STATISTICS or not any(map(is_learnt, specs)):
        return layer
    return replace_fields(layer, param=tuple(replace_fields(spec, lr_mult=(0.0,), decay_mult=(0.0,)) for spec in specs))


def is_learnt(spec: Message) -> bool:
    """Is a rate other than 0? Without one it is 1."""
    return bool(spec["lr_mult"] or spec["decay_mult"])
