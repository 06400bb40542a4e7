"""`caffe._caffe`: what pycaffe's compiled module holds, for scripts that name it."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NoReturn

from ...frontends.caffe import layers as layers
from ...frontends.caffe.data_layers import DATA_LAYERS
from ...frontends.caffe.layer import LAYERS
from .blob import BlobVec as BlobVec
from .blob import CaffeBlob as Blob
from .errors import refuse_gradients
from .mode import set_device as set_device
from .mode import set_mode_cpu as set_mode_cpu
from .mode import set_mode_gpu as set_mode_gpu
from .mode import set_random_seed as set_random_seed
from .net import CaffeNet as Net
from .python_layers import CaffePythonLayer as Layer

__all__ = ["Blob", "BlobVec", "Layer", "Net", "Timer", "layer_type_list"]


class RefusedSolver:
    """What solvers are here: CaffeError at the first use."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        refuse_gradients()


class SGDSolver(RefusedSolver):
    """Refused: cortado trains nothing."""


NesterovSolver = AdaGradSolver = RMSPropSolver = AdaDeltaSolver = AdamSolver = NCCL = SGDSolver


def get_solver(filename: str) -> NoReturn:
    """CaffeError: cortado trains nothing."""
    refuse_gradients()


class Timer:
    """A stopwatch: `start`, `stop`, and `ms` between them."""

    def __init__(self) -> None:
        self.begin, self.ms = 0.0, 0.0

    def start(self) -> None:
        """Begin to measure."""
        self.begin = perf_counter()

    def stop(self) -> None:
        """End measuring."""
        self.ms = 1000 * (perf_counter() - self.begin)


def layer_type_list() -> list[str]:
    """The layer types that cortado computes."""
    return sorted({*LAYERS, *DATA_LAYERS, "Input"})


def init_log(*arguments: Any) -> None:
    """It has no effect: there is no log."""


log = init_log


def solver_count() -> int:
    """1: there is one process."""
    return 1


def solver_rank() -> int:
    """0: there is one process."""
    return 0


set_solver_count = set_solver_rank = set_multiprocess = init_log


def has_nccl() -> bool:
    """False: there is none."""
    return False
