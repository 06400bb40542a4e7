"""Strategies: how each operator is drawn at random, with operands among the existing values, and suitable attributes.

A strategy adds one or a few nodes to a builder, or raises Unfit. An operator without a strategy is drawn by its arity
and its attributes' types (`general`), so that new operators are part of the nets automatically.
"""

from __future__ import annotations

from collections.abc import Callable

from cortado.compiler import ops as _ops  # noqa: F401  (fills the registry)
from cortado.compiler.op import REGISTRY

from ..net_builder import NetBuilder
from . import detectors, flow, general, indexing, motifs, scores, sizes, weighted, windows

Strategy = Callable[[NetBuilder], object]

NOT_DRAWN = {
    "fused": "kernels come of the pass `fuse`; half of the nets are fused in part before they are tried",
    "user": "it means what a caller registers; tests/test_ops_user.py",
}
OWN_STRATEGIES: dict[str, Strategy] = {
    **general.STRATEGIES,
    **weighted.STRATEGIES,
    **windows.STRATEGIES,
    **indexing.STRATEGIES,
    **scores.STRATEGIES,
    **sizes.STRATEGIES,
    **detectors.STRATEGIES,
    **flow.STRATEGIES,
}
FREQUENCIES = {
    "conv": 4.0,
    "concat": 4.0,
    "slice": 4.0,
    "relu": 3.0,
    "add": 3.0,
    "linear": 2.0,
    "scale": 3.0,
    "batch_norm": 3.0,
}
FREQUENCIES |= {
    "reshape": 2.0,
    "flatten": 2.0,
    "bias": 2.0,
    "max_pool": 2.0,
    "avg_pool": 2.0,
    "transpose": 2.0,
    "deconv": 2.0,
}


def strategy(name: str) -> Strategy:
    return OWN_STRATEGIES.get(name) or (lambda builder: general.by_signature(builder, REGISTRY[name]))


def all_strategies() -> dict[str, tuple[float, Strategy]]:
    """All strategies with their weights: each operator by its name, then the motifs."""
    drawn = {name: (FREQUENCIES.get(name, 1.0), strategy(name)) for name in sorted(REGISTRY) if name not in NOT_DRAWN}
    return drawn | {f"motif {name}": (3.0, motif) for name, motif in motifs.MOTIFS.items()}
