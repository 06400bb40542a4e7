"""A layer that computes one node, before it has names: type, settings, and which operands are learnt blobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


class NoLayer(Exception):
    """No layer of Caffe computes a node. The argument is a clause that says why."""


@dataclass(frozen=True)
class LayerDraft:
    """A layer that computes a node.

    `settings` are those of the field `param`: nested ones as dicts, repeated ones as lists. `learnt` are the operands,
    by number, that become learnt blobs, in the order of the blobs; `more` are blobs behind them.
    """

    type: str
    param: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    learnt: tuple[int, ...] = ()
    more: tuple[torch.Tensor, ...] = ()
