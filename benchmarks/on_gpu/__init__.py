"""The stages of benchmarks/gpu.py: each a process of its own, so that a crash or a time limit costs one stage only."""
