"""Where published models and Caffe's own numbers lie beside the checkout, for tests that read them where they exist."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
