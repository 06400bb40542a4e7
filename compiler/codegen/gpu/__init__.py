"""From a kernel to a Triton file, its arguments and its machine code. `codegen/for_triton.py` is the way in."""
