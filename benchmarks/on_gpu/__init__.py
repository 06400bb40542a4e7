"""The stages of benchmarks/gpu.py: separate processes, so that a crash or a time limit affects one stage only."""
