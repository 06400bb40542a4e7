"""The runtime's closed table of primitives: pure functions on tensors. `signatures.py` says what each takes."""

from __future__ import annotations

from collections.abc import Mapping

from .convolution import CONV_PACKED
from .custom import Layer as Layer
from .custom import user as user
from .expression import EXPR
from .linear import LINEAR_PACKED
from .movement import CONCAT, COPY, RESHAPE, SLICE
from .normalization import LRN, SOFTMAX
from .pooling import AVG_POOL, MAX_POOL
from .primitive import Call as Call
from .primitive import Operand as Operand
from .primitive import Packings as Packings
from .primitive import Primitive as Primitive
from .primitive import Run as Run

TABLE: Mapping[str, Primitive] = {
    "conv_packed": CONV_PACKED,
    "linear_packed": LINEAR_PACKED,
    "max_pool": MAX_POOL,
    "avg_pool": AVG_POOL,
    "expr": EXPR,
    "lrn": LRN,
    "softmax": SOFTMAX,
    "concat": CONCAT,
    "slice": SLICE,
    "reshape": RESHAPE,
    "relayout": COPY,
    "copy": COPY,
}
"""All but `user`, which is made of the caller's functions."""
