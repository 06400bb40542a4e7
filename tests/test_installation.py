"""How cortado is installed: its distribution's name and version, and another project with the same import name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cortado
from cortado.installation import find_foreign
from cortado.version import VERSION

from .shared import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ADVICE = "Run `pip uninstall cortado`, then `pip install --force-reinstall cortado-caffe`."


def test_the_distribution_is_cortado_caffe() -> None:
    assert PROJECT["project"]["name"] == "cortado-caffe"
    assert PROJECT["project"]["scripts"] == {"cortado": "cortado_caffe:main"}


def test_the_version_is_stated_once() -> None:
    """pyproject.toml takes it from version.py, as the metadata that setuptools makes of it show."""
    assert PROJECT["project"]["dynamic"] == ["version"] and "version" not in PROJECT["project"]
    code = (
        "import sys; from setuptools.config.pyprojecttoml import apply_configuration as apply; "
        "from setuptools.dist import Distribution; made = apply(Distribution(), 'pyproject.toml'); "
        "print(made.get_name(), made.get_version(), 'torch' in sys.modules)"
    )
    pytest.importorskip("setuptools")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["cortado-caffe", VERSION, "False"], done.stderr
    assert cortado.__version__ == VERSION


def install(folder: Path, metadata: str, files: str) -> Path:
    """A folder that looks as if pip had installed a distribution there."""
    (folder / metadata).mkdir(parents=True)
    (folder / metadata / ("RECORD" if metadata.endswith(".dist-info") else "installed-files.txt")).write_text(files)
    return folder


@pytest.mark.parametrize(
    ("metadata", "files", "is_foreign"),
    [
        ("cortado-1.0rc3.dist-info", "cortado/__init__.py,sha256=x,670\n", True),
        ("cortado-1.0rc3-py3.8.egg-info", "../cortado/__init__.py\n", True),
        ("cortado_caffe-0.1.0.dist-info", "cortado/__init__.py,sha256=x,670\n", False),
        ("cortado_caffe-0.1.0.dist-info", "__editable__.cortado_caffe-0.1.0.pth,sha256=x,20\n", False),
        ("cortado-0.1.0.dist-info", "__editable__.cortado-0.1.0.pth,sha256=x,20\n", False),
        ("cortado_extras-1.0.dist-info", "cortado_extras/__init__.py,sha256=x,670\n", False),
    ],
)
def test_what_counts_as_foreign(tmp_path: Path, metadata: str, files: str, is_foreign: bool) -> None:
    install(tmp_path, metadata, files)
    found = find_foreign(["", str(tmp_path / "nowhere"), str(tmp_path), str(tmp_path)])
    assert (found is not None) is is_foreign


def run_python(*words: str, path: Path) -> subprocess.CompletedProcess[str]:
    settings = {"PYTHONPATH": f"{path}"}
    return subprocess.run([sys.executable, *words], cwd=path, env=settings, capture_output=True, text=True)


def run_command(*words: str, path: Path) -> subprocess.CompletedProcess[str]:
    """The console command as pip writes it."""
    return run_python("-c", "from cortado_caffe import main; main()", *words, path=path)


def test_a_foreign_package_beside_ours_is_reported(tmp_path: Path) -> None:
    """Ours comes first on the path: it works, and says what is there."""
    (tmp_path / "cortado").symlink_to(ROOT)
    install(tmp_path, "cortado-1.0rc3.dist-info", "cortado/__init__.py,sha256=x,670\ncortado/seq.py,,\n")
    for words in (["-m", "cortado", "--version"], ["-c", "import cortado; print('cortado', cortado.__version__)"]):
        done = run_python(*words, path=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"cortado {VERSION}\n"), done.stderr
        where = f"(cortado 1.0rc3, in {tmp_path})"
        assert f'another project\'s package "cortado" is installed beside this one {where}. {ADVICE}' in done.stderr
        assert done.stderr.count(ADVICE) == 1


def test_a_foreign_package_in_place_of_ours_is_an_error(tmp_path: Path) -> None:
    """Its `__init__.py` was written over ours, and our command still starts."""
    (tmp_path / "cortado").mkdir()
    for entry in ROOT.iterdir():
        if entry.name != "__init__.py":
            (tmp_path / "cortado" / entry.name).symlink_to(entry)
    (tmp_path / "cortado" / "__init__.py").write_text('"""Logistic regression."""\n')
    done = run_python("-m", "cortado", "compile", "net.prototxt", path=tmp_path)
    package = tmp_path / "cortado" / "__init__.py"
    error = f'error: {package} is another project\'s package "cortado". {ADVICE}\n'
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)
    (tmp_path / "cortado_caffe.py").symlink_to(ROOT / ".src" / "cortado_caffe.py")
    package.write_text("import no_such_module\n")  # what is imported need not even start
    done = run_command("--version", path=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)


def test_the_console_command_is_this_package() -> None:
    done = run_command("--version", path=ROOT / ".src")
    assert (done.returncode, done.stdout) == (0, f"cortado {VERSION}\n"), done.stderr
