"""The functions that import each Caffe layer type, one family per file. Importing this package registers them."""

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
