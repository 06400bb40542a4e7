"""`import caffe` in this process: its modules are entered where Python looks first."""

from __future__ import annotations

import sys
from importlib import import_module

MODULES = {
    "_caffe": "_caffe", "pycaffe": "_caffe", "io": "io", "proto": "proto", "proto.caffe_pb2": "proto.caffe_pb2",
    "net_spec": "net_spec", "coord_map": "coord_map", "draw": "draw", "classifier": "classifier",
    "detector": "detector",
}  # fmt: skip
"""The modules of `caffe`, and what they are here."""


def install() -> None:
    """Make `import caffe`, `import caffe.io` and so on find this package, whatever stands on `sys.path`."""
    package = import_module(__package__)
    sys.modules["caffe"] = package
    for name, home in MODULES.items():
        module = sys.modules[f"caffe.{name}"] = import_module(f".{home}", __package__)
        if "." not in name:
            setattr(package, name, module)
