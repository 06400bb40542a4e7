"""What each Caffe layer means, one family a file. Importing this package fills the registry."""

from . import channels, combine, dense, neuron, norm, shape, window

__all__ = ["channels", "combine", "dense", "neuron", "norm", "shape", "window"]
