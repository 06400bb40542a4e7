"""The folder beside the checkout with published models and Caffe's outputs; tests that need it are skipped without."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
