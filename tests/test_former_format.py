"""A file that cortado 0.1 compiled: compiled again from its source, or refused with the command that does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cortado
from cortado.cli import main
from cortado.runtime import ArtifactError, container
from cortado.runtime import load as load_compiled
from cortado.runtime.artifact import Preprocessing, read, read_source

FILE = Path(__file__).parent / "files" / "version-0.1.cortado"  # a convolution and a relu, with a mean and a scale
X = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4) - 20
FORM = Preprocessing(mean=(104.0, 117.0, 123.0), scale=0.5)


def expected() -> np.ndarray:
    w, b = np.array([[1, -1, 2], [0.5, -0.5, 1]]), np.array([0.25, -1])
    made: np.ndarray = np.maximum(np.einsum("oc,nchw->nohw", w, X) + b[:, None, None], 0)
    return made


def test_the_runtime_alone_refuses_it_with_the_command() -> None:
    with pytest.raises(ArtifactError, match=r"cortado 0\.1 compiled it; .*cortado compile THIS_FILE -o NEW\.cortado"):
        load_compiled(FILE)


def test_loading_compiles_it_again_and_says_so() -> None:
    with pytest.warns(UserWarning, match=r"cortado 0\.1 compiled it; it is compiled again"):
        net = cortado.load(FILE)
    np.testing.assert_allclose(net(data=X)["y"], expected(), rtol=1e-6)
    assert net.artifact.preprocessing == {"data": FORM}


def test_a_file_is_opened_once_of_either_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, opened = tmp_path / "new.cortado", list[Path]()
    CliRunner().invoke(main, ["compile", str(FILE), "-o", str(new)], catch_exceptions=False)
    whole = container.read_tensors

    def read_tensors(path: Path) -> container.Container:
        opened.append(path)
        return whole(path)

    monkeypatch.setattr("cortado.runtime.artifact.read_tensors", read_tensors)
    cortado.load(new)
    with pytest.warns(UserWarning, match="compiled again"):
        cortado.load(FILE)
    assert opened == [new, FILE]


def test_the_command_compiles_it_again(tmp_path: Path) -> None:
    new = tmp_path / "new.cortado"
    done = CliRunner().invoke(main, ["compile", str(FILE), "-o", str(new)])
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(load_compiled(new)(data=X)["y"], expected(), rtol=1e-6)
    assert read(new).preprocessing == {"data": FORM} and read(new).plan.target == "cpu"


def test_its_source_is_all_that_is_read() -> None:
    source = read_source(FILE)
    assert source.target == "cpu" and source.text.startswith("net small(") and source.preprocessing == {"data": FORM}
