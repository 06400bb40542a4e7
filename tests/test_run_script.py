"""`python -m cortado.compat.pycaffe`: scripts, notebooks, and scripts of Python 2, run as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado.compat import python2, removed_scipy, run_script

from .plain_caffe import NET

ROOT = Path(__file__).resolve().parents[1]
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "python" / "caffe").mkdir(parents=True)
    (tmp_path / "python" / "caffe" / "__init__.py").write_text("raise ImportError('another Caffe')")
    return tmp_path


def run(folder: Path, source: str, *arguments: str, name: str = "script.py") -> Done:
    """Run a script of this text in the folder; options stand before its name."""
    (folder / name).write_text(source)
    options, own = [a for a in arguments if a.startswith("--py2")], [a for a in arguments if not a.startswith("--py2")]
    command = [sys.executable, "-W", "error::UserWarning", "-m", "cortado.compat.pycaffe", *options, name, *own]
    settings = os.environ | {"PYTHONPATH": str(ROOT / ".src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=settings)


def test_a_script_finds_caffe_its_arguments_and_its_folder(folder: Path) -> None:
    (folder / "beside.py").write_text("NAME = 'sum'")
    done = run(folder, """
import sys
sys.path.insert(0, "python")  # where another Caffe lies
import caffe, caffe.io, caffe.draw, caffe.coord_map, caffe._caffe
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
from google.protobuf import text_format
import numpy as np
import beside
assert __name__ == "__main__" and sys.argv == ["script.py", "--model", "net.prototxt"], sys.argv
net = caffe.Net(sys.argv[2], caffe.TEST)
net.blobs["data"].data[...] = np.ones((1, 3, 4, 4), np.float)  # a name that NumPy removed
message = text_format.Parse(open(sys.argv[2]).read(), caffe_pb2.NetParameter())
print(net.forward()[beside.NAME].shape, len(message.layer))
sys.exit(5)
""", "--model", "net.prototxt")  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (5, "(1, 4, 4, 4) 8\n", "")


def test_a_scripts_own_error_is_shown_as_python_shows_it(folder: Path) -> None:
    done = run(folder, 'import caffe\ncaffe.Net("none.prototxt", caffe.TEST)\n')
    assert done.returncode == 1 and done.stderr.startswith(
        'Traceback (most recent call last):\n  File "script.py", line 2'
    )
    assert done.stderr.endswith("CaffeError: Could not open file none.prototxt\n")


def test_what_cannot_be_run_is_said_in_one_sentence(folder: Path) -> None:
    done = run(folder, 'import caffe\nprint "x"\n')
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert (
        done.stderr.startswith("Error: script.py:2: Missing parentheses") and "put --py2 before its name" in done.stderr
    )
    assert run(folder, "print 1\nx = = 1", "--py2").stderr.startswith("Error: script.py:2: bad input: x = = 1")
    for name, text, words in (
        ("a.ipynb", "{", "no Jupyter notebook"),
        ("b.ipynb", '{"cells": [1]}', "no Jupyter notebook"),
    ):
        done = run(folder, text, name=name)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    with pytest.raises(run_script.ScriptError, match="No such file"):
        run_script.run_script(folder / "none.py")


def test_a_notebook_runs_cell_by_cell_and_shows_last_values(folder: Path) -> None:
    first = "%matplotlib inline\nimport caffe\n!ls\nnet = caffe.Net('net.prototxt', caffe.TEST)"
    sources = [first, ["net.inputs\n", "net?"], "net.outputs", "%%bash\nfalse", "for i in [1]:\n    i", "None"]
    cells = [{"cell_type": "code", "source": s} for s in sources] + [{"cell_type": "markdown", "source": "x ="}]
    done = run(folder, json.dumps({"nbformat": 4, "cells": cells}), name="x.ipynb")
    assert (done.returncode, done.stdout, done.stderr) == (0, "['pool', 'sum']\n", "")
    old = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": ["print(3)\n", "4"]}]}]}
    assert run(folder, json.dumps(old), name="y.ipynb").stdout == "3\n4\n"
    done = run(folder, json.dumps({"cells": [{"cell_type": "code", "source": "1\nx ="}]}), name="z.ipynb")
    assert done.stderr.startswith("Error: z.ipynb, code cell 1:2: invalid syntax")


PYTHON_2 = """
import os, sys
import cPickle as pickle
from StringIO import StringIO
import caffe
import beside
reload(sys); sys.setdefaultencoding("utf8")
net = caffe.Net("net.prototxt", caffe.TEST)
if net.params.has_key("conv"):
\tfor i in xrange(3):
                print 7 / 2, -7 / 2, 7 / 2., round(2.5), round(-0.125, 2),
print
half = 9
half /= 2
data = open("data.bin").read()
print half, len(data), len(StringIO(data).read()), StringIO("text").read(), cmp(1, 2), net.params.keys(), beside.half(5)
open("copy.bin", "w").write(data)
print >>sys.stderr, u"end", isinstance("a", unicode)
"""


def test_a_script_of_python_2_is_translated(folder: Path) -> None:
    pytest.importorskip("fissix")
    (folder / "data.bin").write_bytes(bytes(range(256)) + b"\r\n")
    (folder / "beside.py").write_text("def half(n):\n    assert 1 <> 2\n    return n / 2\n")
    done = run(folder, PYTHON_2, "--py2")
    assert done.stderr == "end True\n" and done.returncode == 0
    rows = done.stdout.split("\n")
    assert rows[0].split() == ["3", "-4", "3.5", "3.0", "-0.13"] * 3
    assert rows[1] == "4 258 258 text -1 ['conv', 'scale', 'shift'] 2"
    assert (folder / "copy.bin").read_bytes() == (folder / "data.bin").read_bytes()


def test_true_division_is_kept_where_the_script_asks_for_it(folder: Path) -> None:
    pytest.importorskip("fissix")
    assert run(folder, "from __future__ import division\nprint 7 / 2\n", "--py2").stdout == "3.5\n"


def test_a_feature_of_the_future_holds_in_the_cells_behind(folder: Path) -> None:
    pytest.importorskip("fissix")
    sources = ["print (1, 7 / 2)", "from __future__ import print_function, division", "print(1, 7 / 2)"]
    cells = [{"cell_type": "code", "source": s} for s in sources]
    assert run(folder, json.dumps({"cells": cells}), "--py2", name="x.ipynb").stdout == "(1, 3)\n1 3.5\n"


def test_old_division() -> None:
    whole, real = np.array([7, -7]), np.array([7.0, -7.0])
    assert python2.divide(7, 2) == 3 and python2.divide(7, 2.0) == 3.5 and python2.divide(True, 2) == 0
    assert python2.divide(whole, 2).tolist() == [3, -4] and python2.divide(whole, np.float32(2)).tolist() == [3.5, -3.5]
    kept = real
    real /= python2.Divisor(2)
    assert real is kept and kept.tolist() == [3.5, -3.5]
    whole /= python2.Divisor(2)
    assert whole.tolist() == [3, -4] and 7 / python2.Divisor(2) == 3 and 7.0 / python2.Divisor(2) == 3.5


def test_old_rounding_goes_away_from_zero() -> None:
    halves = [python2.round_half_away(x) for x in (0.5, 1.5, -0.5, 2.4999, 0.49999999999999994, 1e300, np.float32(2.5))]
    assert halves == [1, 2, -1, 2, 0, 1e300, 3] and all(type(x) is float for x in halves)
    assert python2.round_half_away(2.675, 2) == 2.67 and python2.round_half_away(1250, -2) == 1300
    assert np.isnan(python2.round_half_away(np.nan))


def test_an_old_string_holds_text_or_bytes() -> None:
    text = python2.OldStringIO("one\ntwo")
    assert text.readline() == "one\n" and text.read() == "two" and text.getvalue() == "one\ntwo"
    data = python2.OldStringIO()
    data.write(b"\xff\x00")
    assert data.getvalue() == b"\xff\x00"
    assert python2.OldStringIO("\udcff").read() == b"\xff" and python2.OldStringIO(bytearray(b"a")).read() == b"a"


def test_pictures_of_the_scipy_that_was(tmp_path: Path) -> None:
    """By hand: Pillow's bilinear filter averages two pixels into one; other numbers than uint8 are stretched first."""
    image = np.array([[0, 100], [0, 100]], np.uint8)
    assert removed_scipy.imresize(image, (2, 1)).tolist() == [[50], [50]]
    assert removed_scipy.imresize(image, 50).shape == (1, 1) and removed_scipy.imresize(image, 2.0).shape == (4, 4)
    assert removed_scipy.bytescale(np.array([[-1.0, 0, 1]])).tolist() == [[0, 128, 255]]
    assert removed_scipy.imresize(np.array([[0.5, 1.5]]), (1, 1), mode="F").tolist() == [[1.0]]
    removed_scipy.imsave(tmp_path / "x.png", image)
    assert removed_scipy.imread(tmp_path / "x.png").tolist() == image.tolist()
    assert removed_scipy.imread(tmp_path / "x.png", flatten=True).dtype == np.float32
    assert removed_scipy.imread(tmp_path / "x.png", mode="RGB").shape == (2, 2, 3)
    with pytest.raises(ValueError, match=r"no kind of picture"):
        removed_scipy.imsave(tmp_path / "x.nothing", image)


def test_a_dialect_is_given_on_the_command_line(folder: Path) -> None:
    text = """input: "x" input_shape { dim: 1 dim: 2 dim: 3 dim: 3 }
    layer { name: "r" type: "Reverse" bottom: "x" top: "y" }"""
    (folder / "net.prototxt").write_text(text)
    (folder / "s.py").write_text("import caffe\nprint(caffe.Net('net.prototxt', caffe.TEST).outputs)")
    command: list[Any] = [sys.executable, "-m", "cortado.compat.pycaffe", "--dialect", "nonsense", "s.py"]
    settings = os.environ | {"PYTHONPATH": str(ROOT / ".src")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=settings)
    assert done.returncode == 1 and "nonsense" in done.stderr
