"""What is questionable about a Caffe net, whether or not it can be compiled: each finding with its place and advice."""

from .dataflow import Dataflow, trace_dataflow
from .findings import Finding, findings
from .inplace import Verdict, verdicts

__all__ = ["Dataflow", "Finding", "Verdict", "findings", "trace_dataflow", "verdicts"]
