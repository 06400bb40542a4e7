"""Kernels proved without a GPU: Triton's interpreter, in processes of its own, against the operators' meaning."""
