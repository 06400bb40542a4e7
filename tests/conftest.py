"""Options of the test run, fixtures that several files use, and the seed of whatever a test or a fixture draws."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

from cortado.compiler.ops.user import REGISTERED_LAYERS
from cortado.frontends.caffe.register import unregister_layer

from .gpu import gpu as gpu
from .gpu import stand_in as stand_in
from .small_nets import Nets


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    """Small nets that a test writes down, in a folder of its own."""
    return Nets(tmp_path)


@pytest.fixture
def no_registered_layers() -> Iterator[None]:
    """Layers that a test registers are gone after it."""
    yield
    for type in [*REGISTERED_LAYERS]:
        unregister_layer(type)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write what passes print today into tests/passes/*.net")


def seed(name: str) -> None:
    """The same numbers for the same name, in whatever order and process tests run."""
    number = crc32(name.encode())
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """What a test draws depends on its name alone."""
    seed(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """What a fixture draws depends on its name and parameter alone, not on the test that asks for it first."""
    seed(f"{fixturedef.baseid} {fixturedef.argname} {getattr(request, 'param_index', '')}")
    return (yield)
