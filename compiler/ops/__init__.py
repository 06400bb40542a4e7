"""The operators, by family. Importing this package fills the registry."""

from . import activation, arithmetic, channels, conv, dense, fused, norm, pool, shape

__all__ = ["activation", "arithmetic", "channels", "conv", "dense", "fused", "norm", "pool", "shape"]
