"""What is questionable about a Caffe net, whether or not it can be compiled: each finding with its place and advice."""

from .findings import Finding, findings
from .inplace import Verdict, verdicts
from .wired import Wiring, wired

__all__ = ["Finding", "Verdict", "Wiring", "findings", "verdicts", "wired"]
