"""Fuzzing of the five readers: prototxt, caffemodel, HDF5, cortado's language, and compiled files."""
