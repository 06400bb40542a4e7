"""Random nets through every pass, judged against what the net means before any: `python -m tests.proof 4711`."""
