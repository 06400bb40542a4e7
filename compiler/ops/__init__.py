"""The operators, by family. Importing this package fills the registry."""

from . import (
    activation,
    arithmetic,
    channels,
    conv,
    dense,
    detection,
    fused,
    loss,
    moving,
    norm,
    pool,
    prior_box,
    recurrent,
    reduce,
    shape,
)

__all__ = [
    "activation",
    "arithmetic",
    "channels",
    "conv",
    "dense",
    "detection",
    "fused",
    "loss",
    "moving",
    "norm",
    "pool",
    "prior_box",
    "recurrent",
    "reduce",
    "shape",
]
