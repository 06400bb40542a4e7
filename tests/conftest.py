"""Options of the test run, shared fixtures, and the seeding of random numbers."""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import hypothesis
import numpy as np
import pytest
import torch

from cortado.compiler.ops.user import REGISTERED_LAYERS
from cortado.frontends.caffe.register import unregister_layer
from cortado.runtime.native import build

from .gpu import gpu as gpu
from .gpu import stand_in as stand_in
from .small_nets import Nets

# The same examples in each run; HYPOTHESIS_PROFILE=explore draws others.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Nets run by torch's primitives, here and in the commands that tests start, but for the tests that ask for a compiler:
# else each net would be compiled, for a second.
os.environ["CORTADO_CC"] = "none"


@pytest.fixture
def c_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow the use of the C compiler of this machine, which native kernels need; without one, skip the test."""
    monkeypatch.delenv("CORTADO_CC")
    build.find_compiler.cache_clear()
    if not build.find_compiler():
        pytest.skip("there is no C compiler")
    yield
    build.find_compiler.cache_clear()


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    """Compiles small nets written in a test, in a temporary folder."""
    return Nets(tmp_path)


@pytest.fixture
def no_registered_layers() -> Iterator[None]:
    """Unregister the layers that a test registers."""
    yield
    for type in [*REGISTERED_LAYERS]:
        unregister_layer(type)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write the passes' current output to tests/passes/*.net")


def seed(name: str) -> None:
    """Seed all generators by name, so that numbers do not depend on the order or process of tests."""
    number = crc32(name.encode())
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Random numbers of a test depend only on its name."""
    seed(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """Random numbers of a fixture depend only on its name and parameter, not on the test that uses it first."""
    seed(f"{fixturedef.baseid} {fixturedef.argname} {getattr(request, 'param_index', '')}")
    return (yield)
