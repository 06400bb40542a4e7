"""Kernel templates: ordinary Triton modules. A generated kernel is one of these with its own epilogue."""
