"""Runs random nets through every pass, and compares them with the net before any pass: `python -m tests.proof 4711`."""
