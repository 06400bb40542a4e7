"""Tests of kernels without a GPU: Triton's interpreter, in separate processes, against the operators' reference."""
