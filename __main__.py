"""`python -m cortado` and the console command `cortado`."""

from __future__ import annotations

import sys

from .cli import main as run_command
from .installation import require_own_package


def main() -> None:
    require_own_package(sys.modules[__package__])
    run_command()


if __name__ == "__main__":
    main()
