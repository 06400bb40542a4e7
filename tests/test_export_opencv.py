"""OpenCV reads what `--to caffe` writes, and computes Caffe's numbers from it wherever it does from the original."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cortado
from cortado.frontends.files.prototxt import read

from .shared import ROOT
from .test_goldens import FOLDER, GoldenCase

RIGHT = re.findall(r"^\| (\S+) \| right \| right \|$", (ROOT / "docs" / "opencv_layers.md").read_text("utf-8"), re.M)
# In a process of its own, which OpenCV may end; each line of its input is the arguments of benchmarks/opencv_case.py.
RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from opencv_case import main
for line in sys.stdin:
    print(main(*json.loads(line)), flush=True)
"""


@pytest.mark.parametrize("fold", [False, True], ids=["upgraded", "folded"])
def test_opencv_is_right_where_it_was(fold: bool, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    assert len(RIGHT) > 100
    lines, names = list[str](), list[str]()
    for name in RIGHT:
        case = GoldenCase(FOLDER / "layers" / f"{name}.prototxt")
        if fold and not case.params:
            continue
        made = cortado.export(case.path, case.weights, to="caffe", out=tmp_path / name, fold=fold)
        layers = read(made.paths[-1])["layer"]
        makers = {top: (layer["name"], i) for layer in layers for i, top in enumerate(layer["top"])}
        files = [str(made.paths[-1]), str(made.paths[0]), str(case.path.with_suffix(".npz"))]
        lines.append(json.dumps([*files, json.dumps(makers)]))
        names.append(name)
    command = [sys.executable, "-c", RUN, str(ROOT / "benchmarks")]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=300)
    verdicts = dict(zip(names, done.stdout.splitlines(), strict=False))
    assert verdicts == dict.fromkeys(names, "right"), done.stderr
