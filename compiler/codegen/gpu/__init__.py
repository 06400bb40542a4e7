"""Code generation for NVIDIA GPUs: a kernel's Triton source, launch arguments and machine code."""
