"""Options of the test run, and fixtures that several files use."""

from __future__ import annotations

import pytest

from .gpu import gpu as gpu
from .gpu import stand_in as stand_in


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write what passes print today into tests/passes/*.net")
