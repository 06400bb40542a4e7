"""The forks of Caffe by which dialects of layer types are named."""

from __future__ import annotations

from collections.abc import Mapping

FORKS: Mapping[str, str] = {  # the name of the dialect: the repository on GitHub
    "bvlc": "BVLC/caffe",
    "c3d": "facebook/C3D",
    "crnn": "yalecyu/crnn.caffe",
    "ctpn": "tianzhi0549/CTPN",
    "ctpn-gpu": "tianzhi0549/CTPN on a GPU",
    "hed": "s9xie/hed",
    "happynear": "happynear/caffe-windows",
    "jolibrain": "jolibrain/caffe",
    "mini-caffe": "luoyetx/mini-caffe",
    "mobilenet-yolo": "eric612/MobileNet-YOLO",
    "mscnn": "zhaoweicai/mscnn",
    "pspnet": "hszhao/PSPNet",
    "pva": "sanghoon/pva-faster-rcnn",
    "segnet": "alexgkendall/caffe-segnet",
    "synopsys": "foss-for-synopsys-dwc-arc-processors/synopsys-caffe",
}


def find_fork(word: str) -> str | None:
    """The name in FORKS that a user means by a name, a repository, or its part after the slash, in any case."""
    said = word.lower()
    for name, repository in FORKS.items():
        if said in (name, repository.lower(), repository.lower().rpartition("/")[2]):
            return name
    return None
