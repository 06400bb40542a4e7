"""What each Caffe layer means, one family a file. Importing this package fills the registry."""

from . import (
    bn,
    channels,
    combine,
    dense,
    detection,
    indexing,
    loss,
    neuron,
    norm,
    pool,
    recurrent,
    resize,
    score,
    shape,
    sources,
    window,
)

__all__ = [
    "bn",
    "channels",
    "combine",
    "dense",
    "detection",
    "indexing",
    "loss",
    "neuron",
    "norm",
    "pool",
    "recurrent",
    "resize",
    "score",
    "shape",
    "sources",
    "window",
]
