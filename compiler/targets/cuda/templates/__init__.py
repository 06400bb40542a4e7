"""Kernels as they would be written by hand, in Triton. A generated file is one of these with its own epilogue."""
