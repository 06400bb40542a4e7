"""Options of the test run, and fixtures that several files use."""

from __future__ import annotations

from pathlib import Path

import pytest

from .gpu import gpu as gpu
from .gpu import stand_in as stand_in
from .small_nets import Nets


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    """Small nets that a test writes down, in a folder of its own."""
    return Nets(tmp_path)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write what passes print today into tests/passes/*.net")
