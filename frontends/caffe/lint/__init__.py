"""Lints Caffe nets, whether or not they can be compiled; each finding has a location and advice."""

from .dataflow import Dataflow, trace_dataflow
from .findings import Finding, findings
from .inplace import Verdict, verdicts
from .numbers import number_findings

__all__ = ["Dataflow", "Finding", "Verdict", "findings", "number_findings", "trace_dataflow", "verdicts"]
