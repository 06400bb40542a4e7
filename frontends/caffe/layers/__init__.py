"""What each Caffe layer means, one family a file. Importing this package fills the registry."""

from . import (
    channels,
    combine,
    dense,
    detection,
    loss,
    moving,
    neuron,
    norm,
    pool,
    recurrent,
    score,
    shape,
    sources,
    window,
)

__all__ = [
    "channels",
    "combine",
    "dense",
    "detection",
    "loss",
    "moving",
    "neuron",
    "norm",
    "pool",
    "recurrent",
    "score",
    "shape",
    "sources",
    "window",
]
