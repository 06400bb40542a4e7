"""pycaffe for scripts that were written for it: nets that run by cortado, under the names of `import caffe`.

    import cortado.compat.pycaffe as caffe
    net = caffe.Net("deploy.prototxt", caffe.TEST, weights="net.caffemodel")

`install()` makes `import caffe` find it; `python -m cortado.compat.pycaffe script.py` runs a script so, as it is.
"""

from __future__ import annotations

from . import _caffe as _caffe
from . import io as io
from . import proto as proto
from ._caffe import NCCL as NCCL
from ._caffe import AdaDeltaSolver as AdaDeltaSolver
from ._caffe import AdaGradSolver as AdaGradSolver
from ._caffe import AdamSolver as AdamSolver
from ._caffe import Layer as Layer
from ._caffe import NesterovSolver as NesterovSolver
from ._caffe import RMSPropSolver as RMSPropSolver
from ._caffe import SGDSolver as SGDSolver
from ._caffe import Timer as Timer
from ._caffe import get_solver as get_solver
from ._caffe import has_nccl as has_nccl
from ._caffe import init_log as init_log
from ._caffe import layer_type_list as layer_type_list
from ._caffe import log as log
from ._caffe import set_multiprocess as set_multiprocess
from ._caffe import set_solver_count as set_solver_count
from ._caffe import set_solver_rank as set_solver_rank
from ._caffe import solver_count as solver_count
from ._caffe import solver_rank as solver_rank
from .classifier import Classifier as Classifier
from .detector import Detector as Detector
from .errors import CaffeError as CaffeError
from .errors import CaffeWarning as CaffeWarning
from .installing import install as install
from .mode import set_device as set_device
from .mode import set_mode_cpu as set_mode_cpu
from .mode import set_mode_gpu as set_mode_gpu
from .mode import set_random_seed as set_random_seed
from .net import CaffeNet
from .net_spec import NetSpec as NetSpec
from .net_spec import layers as layers
from .net_spec import params as params
from .net_spec import to_proto as to_proto
from .proto.caffe_pb2 import TEST as TEST
from .proto.caffe_pb2 import TRAIN as TRAIN
from .python_layers import trust_python_layers as trust_python_layers

Net = CaffeNet
__version__ = "1.0.0"  # of Caffe, whose interface this is
