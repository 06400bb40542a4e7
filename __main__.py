"""`python -m cortado` and the console command `cortado`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
