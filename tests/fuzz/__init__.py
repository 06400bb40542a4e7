"""Fuzzing of the six readers: prototxt, caffemodel, HDF5, cortado's language, compiled files, and schemas of forks."""
